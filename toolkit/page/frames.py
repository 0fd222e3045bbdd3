"""Two pieces of the page that Gradio has no component for: the 4D scene in a frame of its own, and the list of files with a line each."""

from __future__ import annotations

SCENE_HTML = '<div class="l4-scene">${value && value.page ? "" : `<div class="l4-card quiet">${empty}</div>`}</div>'
SCENE_JS = """
const show = async () => {
  const value = props.value, box = element.querySelector('.l4-scene');
  if (!value || !value.page || !box) return;
  // The file is served as a download; as a blob it can be shown, in a frame that has no access to this page.
  const answer = await fetch(value.page.url);
  if (!answer.ok) { box.textContent = value.gone; return; }
  const frame = document.createElement('iframe');
  frame.title = '4D';
  frame.allow = 'fullscreen';
  frame.setAttribute('sandbox', 'allow-scripts allow-downloads');
  frame.src = URL.createObjectURL(new Blob([await answer.blob()], {type: 'text/html'}));
  frame.onload = () => URL.revokeObjectURL(frame.src);
  box.replaceChildren(frame);
};
watch('value', show);
show();
"""

FILES_HTML = """
{{#if value.files}}<div class="l4-files">
{{#if value.all}}<a class="all" href="{{value.all.file.url}}" download="{{value.all.name}}">
<b>{{value.all.title}}</b><span>{{value.all.size}}</span><span>{{value.all.opens_with}}</span></a>{{/if}}
{{#each value.files}}<a href="{{this.file.url}}" download="{{this.name}}">
<b>{{this.name}}</b><span>{{this.size}}</span><span>{{this.opens_with}}</span></a>
{{/each}}</div>{{else}}<div class="l4-card quiet">{{empty}}</div>{{/if}}
"""
