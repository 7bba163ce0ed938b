"""Runs on a host: sends AMOUNT to the other side and reads what it sends, both at once; prints the SHA-256 of each as JSON.

    transfer.py listen ADDRESS PORT AMOUNT
    transfer.py connect ADDRESS PORT AMOUNT

AMOUNT is a number of bytes, or a time as in "600s". No pause may be longer than DEADLINE_S.
"""

import hashlib
import json
import random
import socket
import sys
import threading
import time

CHUNK = 1 << 18
DEADLINE_S = 20


def pieces(amount):
    """Number and length of each piece to send."""
    if amount.endswith("s"):
        end = time.monotonic() + int(amount[:-1])
        number = 0
        while time.monotonic() < end:
            yield number, CHUNK
            number += CHUNK
    else:
        for number in range(0, int(amount), CHUNK):
            yield number, min(CHUNK, int(amount) - number)


def send(connection, amount, digest):
    block = random.randbytes(CHUNK)
    for number, length in pieces(amount):
        piece = number.to_bytes(8, "big") + block[8:length]
        digest.update(piece)
        connection.sendall(piece)
    connection.shutdown(socket.SHUT_WR)


def receive(connection, digest):
    while piece := connection.recv(CHUNK):
        digest.update(piece)


def main():
    side, address, port, amount = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    if side == "listen":
        with socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET) as server:
            print("listening", flush=True)
            server.settimeout(DEADLINE_S)
            connection = server.accept()[0]
    else:
        connection = socket.create_connection((address, port), DEADLINE_S)
    connection.settimeout(DEADLINE_S)
    sent, received = hashlib.sha256(), hashlib.sha256()
    sender = threading.Thread(target=send, args=(connection, amount, sent))
    sender.start()
    receive(connection, received)
    sender.join()
    print(json.dumps({"sent": sent.hexdigest(), "received": received.hexdigest()}))


main()
