"""E-mail: the operator's mail server, what goes through it, and what its replies mean.

Alerts (`door`) and the durable notices to owners and readers (`mailer`) share few kept connections, and nothing that
was written down to be sent is lost. How an alert's mail looks is `channels.letter`.
"""
