# Runs "$@" and keeps it: when standard input ends, because whoever started this let go of it or is gone, the program is
# told to stop, and killed ten seconds later. Whatever is left of its process group then goes too.
# KEEPER_LOG: where its output goes. KEEPER_CLEAN: a folder that is removed at the end. KEEPER_SAVE: where its logs are
# copied to before.
exec 3<&0
"$@" </dev/null 3<&- >>"$KEEPER_LOG" 2>&1 &
child=$!
(
  cat <&3 >/dev/null
  kill -TERM "$child"
  tenths=100
  while kill -0 "$child" && [ "$tenths" -gt 0 ]; do
    sleep 0.1
    tenths=$((tenths - 1))
  done
  kill -KILL "$child"
) >/dev/null 2>&1 &
exec 3<&-
wait "$child"
code=$?
if [ -n "$KEEPER_SAVE" ] && [ -d "$KEEPER_CLEAN" ]; then
  mkdir -p "$KEEPER_SAVE" && find "$KEEPER_CLEAN" -name '*.log' -exec cp {} "$KEEPER_SAVE" \;
fi
if [ -n "$KEEPER_CLEAN" ]; then
  rm -rf "$KEEPER_CLEAN"
fi
(sleep 0.3; kill -KILL 0) >/dev/null 2>&1 &
exit "$code"
