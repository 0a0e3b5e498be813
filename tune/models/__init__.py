"""From a checkpoint to a served champion."""
