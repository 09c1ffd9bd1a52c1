#!/bin/sh
# The telephone prompts that svc-it was trained on and converts, into a folder: Debian packages, unpacked without root.
#   sh fetch.sh FOLDER
set -eu
folder=${1:?"usage: sh fetch.sh FOLDER"}
mkdir -p "$folder"
cd "$folder"
for language in it en fr ru; do
    package="asterisk-core-sounds-$language-g722"
    [ -n "$(ls "$package"_*.deb 2>/dev/null)" ] || apt-get download "$package"
    dpkg-deb -x "$package"_*.deb .
done
echo "$folder/usr/share/asterisk/sounds:"
ls usr/share/asterisk/sounds
