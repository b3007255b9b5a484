"""Programs that the benchmarks start to look into a process of the platform; no part of it knows of them."""
