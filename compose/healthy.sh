#!/bin/bash
# healthy.sh PORT PATH: whether this container answers a GET with 200 within 3 seconds. A health check of bash alone takes
# 2 ms of CPU, one in Python 40.
set -eu
exec 3<>"/dev/tcp/127.0.0.1/$1"
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3
IFS= read -r -t 3 line <&3
[[ $line == "HTTP/1.1 200 "* ]]
