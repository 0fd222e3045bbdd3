"""Calls that no honest program makes are told in a sentence or refused; the long version is `python -m toolkit benchmark --soak`."""

import httpx

from toolkit.soak.callers import call_page, still_serves
from toolkit.soak.calls import write_call

CALLS = 30


def test_hostile_calls_do_no_harm_and_an_honest_visitor_is_served_afterwards(served, tmp_path):
    answers = list(call_page(served.url, range(CALLS), tmp_path, seed=2))
    assert [(a.call.told, a.outcome, a.text[-500:]) for a in answers if not a.good] == []
    assert {a.outcome for a in answers} >= {"told", "refused"}
    assert still_serves(served.url, tmp_path)


def test_what_is_no_call_at_all_is_told_in_a_sentence(served):
    with httpx.Client(base_url=served.url) as client:
        unknown = client.post("gradio_api/call/nothing", json={"data": []})
        lost = client.get("gradio_api/call/inspect/none")
        few = client.get(f"gradio_api/call/run/{client.post('gradio_api/call/run', json={'data': []}).json()['event_id']}")
    assert unknown.status_code == 400 and "can't be understood" in unknown.json()["detail"]
    assert "event: error" in lost.text and "can't be understood" in lost.text
    assert "can't be taken (" in few.text and "needed: 5, got: 0" in few.text


def test_the_same_call_is_made_again():
    assert write_call(3, 7, "clip", "/secret") == write_call(3, 7, "clip", "/secret") != write_call(4, 7, "clip", "/secret")
