"""Many clips: the same settings for a folder, a list or addresses, on a laptop or a cluster; stopped at any moment and gone on with."""

from toolkit.batch.driver import BatchProgress, clean_batch, run_batch
from toolkit.batch.ledger import Ledger, read_ledger
from toolkit.batch.status import Status, read_status

__all__ = ["BatchProgress", "Ledger", "Status", "clean_batch", "read_ledger", "read_status", "run_batch"]
