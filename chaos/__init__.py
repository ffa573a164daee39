"""Long fault runs: thousands of probe runs while processes and servers are killed, frozen and made to forget.

python -m chaos --runs 10000 --seed 1      (make chaos)
"""
