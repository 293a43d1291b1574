"""`idp demo`: the whole house on one machine, with invented families, two ENTs and a mailbox that keeps every mail.

Owns `var/demo/` and the command; no page of the service. It refuses to start beside production settings. The mail
catcher (`python -m demo.catcher`) and the ENTs are processes of their own: all of it is real HTTP and real SMTP.
"""
