"""For tests of the admin API in which there are no nodes to be asked."""

from __future__ import annotations

from wsplatform.app.cluster import NoCluster
from wsplatform.errors import PlatformError

NO_CLUSTER = NoCluster(PlatformError("no_nodes", "This test has none."))
