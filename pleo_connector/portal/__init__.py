"""Connect with Pleo, hosted: a small web app for customers who have no shell.

    serve(settings, host="127.0.0.1", port=8780)       # until SIGINT or SIGTERM
    portal_of(settings).invitations.make("acme", 7 * 86400)

A customer opens a one-time link, reads what will be read, and agrees at Pleo; an operator sees all connections.
"""
