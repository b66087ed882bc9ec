#!/bin/sh
# usage: keeper.sh DIRECTORY SIGNALS PROGRAM [ARGUMENT...]
#
# Runs PROGRAM for the process that holds the other end of our standard input, and exits with its status. When that end closes, because
# the process wants PROGRAM to end or because it died, however suddenly, PROGRAM gets the SIGNALS one after the other, each with ten
# seconds to take effect, and DIRECTORY ('' for none) is removed. A line that the process writes there first names other SIGNALS. A PROGRAM that ends by itself leaves the directory to its owner.
directory=$1
signals=$2
shift 2

exec 3<&0 </dev/null
"$@" 3<&- &
program=$!

{
    read -r asked <&3 && signals=$asked
    [ -z "$directory" ] || : >"$directory/abandoned"
    for signal in $signals; do
        kill -s "$signal" "$program" 2>/dev/null || exit 0
        tenths=0
        while [ "$tenths" -lt 100 ] && kill -s 0 "$program" 2>/dev/null; do
            sleep 0.1
            tenths=$((tenths + 1))
        done
    done
} &
watcher=$!

wait "$program" 2>/dev/null
status=$?
kill "$watcher" 2>/dev/null
# The emptied directory itself may lie where only another account can remove it; its owner, if alive, does that.
[ -z "$directory" ] || [ ! -e "$directory/abandoned" ] || rm -rf "$directory" 2>/dev/null
exit "$status"
