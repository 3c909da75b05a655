"""What waits for webhooks, lane by lane: whose turn it is, how much at once, and what becomes of each attempt.

Promises: nobody's trouble becomes another's, and memory is bounded whatever waits. Leaves out: how a request is sent
(`sending`), what it says (`rendering`), and which shards are held (`cluster`).
"""
