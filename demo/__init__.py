"""`idp demo`: the service on one machine, with invented families, two ENTs and a mailbox that keeps every mail.

Owns `var/demo/` and the command; no page of the service. It refuses to start with production settings. The mail catcher
(`python -m demo.catcher`) and the ENTs are separate processes, which speak real HTTP and SMTP.
"""
