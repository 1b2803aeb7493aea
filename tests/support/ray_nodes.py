"""A Ray cluster of two nodes on loopback, as a program: prints its address; a line on stdin kills the second node by SIGKILL,
starts another in its place and says so; the end of stdin ends it all."""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

SMALL = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False, "node_ip_address": "127.0.0.1"}

if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args=SMALL)
    second = cluster.add_node(**SMALL)
    print(cluster.address, flush=True)
    for _line in sys.stdin:
        cluster.remove_node(second, allow_graceful=False)
        print("killed", flush=True)
        second = cluster.add_node(**SMALL)
        print("again two", flush=True)
    cluster.shutdown()
