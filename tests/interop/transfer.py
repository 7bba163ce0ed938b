"""Runs on a host: sends BYTES to the other side and reads as many, both at once; prints the SHA-256 of each as JSON.

    transfer.py listen ADDRESS PORT BYTES
    transfer.py connect ADDRESS PORT BYTES
"""

import hashlib
import json
import random
import socket
import sys
import threading

CHUNK = 1 << 18
DEADLINE_S = 90


def send(connection, amount, digest):
    block = random.randbytes(CHUNK)
    for number in range(0, amount, CHUNK):
        piece = number.to_bytes(8, "big") + block[8:min(CHUNK, amount - number)]
        digest.update(piece)
        connection.sendall(piece)
    connection.shutdown(socket.SHUT_WR)


def receive(connection, digest):
    while piece := connection.recv(CHUNK):
        digest.update(piece)


def main():
    side, address, port, amount = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
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
