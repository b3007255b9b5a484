"""`python -m benchmarks`: wsplatform beside other servers, and beside a C program that does nothing but what it has to.

Method and results: docs/performance.md.
"""
