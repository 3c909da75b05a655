"""The engine: takes events in, fans them out, and delivers each to its webhook until it has ended.

Promises: an event answered is durable with its deliveries; each delivery ends once; one webhook's trouble stays its
own; memory does not grow with the backlog. Leaves out: who may ask (api), what people configure (control), and how
rows are kept (store).

    ingest, activity ─▶ routing (filtering) ─▶ departures, fanout ─▶ dispatching ─▶ settler
                                                gathering: chats and mail ─┘  │ └─▶ health
                                                                              └─▶ rendering ─▶ sending, mail
    cluster: what this process may do
"""
