"""An SMTP server that demands STARTTLS and a login, and keeps each message as a file.

usage: smtp_server.py PORT CERT KEY INBOX USER PASSWORD
"""

import email
import email.policy
import os
import ssl
import sys
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

port, cert, key, inbox, user, password = sys.argv[1:]


class Keep:
    count = 0

    async def handle_DATA(self, server, session, envelope):
        Keep.count += 1
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        lines = [f"RCPT: {', '.join(envelope.rcpt_tos)}", f"FROM: {envelope.mail_from}", f"SUBJECT: {message['subject']}"]
        for part in message.walk():
            if part.get_content_maintype() == "text":
                lines += [f"PART: {part.get_content_type()}", part.get_content()]
        path = os.path.join(inbox, f"{Keep.count:04}")
        with open(path + ".tmp", "w", encoding="utf-8") as file:
            file.write("\n".join(lines))
        os.rename(path + ".tmp", path + ".eml")
        return "250 kept"


def authenticate(server, session, envelope, mechanism, data):
    given = (data.login.decode(), data.password.decode())
    return AuthResult(success=given == (user, password))


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(cert, key)
Controller(
    Keep(),
    hostname="127.0.0.1",
    port=int(port),
    tls_context=context,
    require_starttls=True,
    authenticator=authenticate,
    auth_required=True,
    auth_require_tls=True,
).start()
while True:
    time.sleep(3600)
