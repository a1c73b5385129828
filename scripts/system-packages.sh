#!/usr/bin/env bash
# The programs that the tests drive and that no language's package manager brings: two browsers, two kinds of encoder, a network tool, a voice, fonts.
set -eu

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v firefox-esr >/dev/null || missing+=(firefox-esr)
command -v ip >/dev/null || missing+=(iproute2)
command -v espeak-ng >/dev/null || missing+=(espeak-ng)
command -v ffmpeg >/dev/null || missing+=(ffmpeg)
command -v valgrind >/dev/null || missing+=(valgrind)
/usr/bin/python3 -c 'import gi; gi.require_version("GstWebRTC", "1.0")' 2>/dev/null || missing+=(python3-gi gir1.2-gst-plugins-bad-1.0)
gstreamer() { compgen -G "/usr/lib/*/gstreamer-1.0/libgst$1.so" >/dev/null || missing+=("$2"); }
gstreamer opus gstreamer1.0-plugins-base
gstreamer vpx gstreamer1.0-plugins-good
gstreamer webrtc gstreamer1.0-plugins-bad
gstreamer nice gstreamer1.0-nice
fc-list 2>/dev/null | grep -q . || missing+=(fonts-dejavu-core)
[ ${#missing[@]} -eq 0 ] && exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
  echo "installing: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "The browser tests need these packages, please install them: ${missing[*]}" >&2
  exit 1
fi
