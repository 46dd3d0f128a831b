# What the page can show: styles, 16 and 256 colours, true colour, and a line that is written again and again.
esc=$(printf '\033[')
echo "${esc}1mbold${esc}0m ${esc}2mdim${esc}0m ${esc}3mitalic${esc}0m ${esc}4munderline${esc}0m ${esc}7minverse${esc}0m ${esc}9mstruck${esc}0m ${esc}1;3;4;35mall of it${esc}0m"
for base in 30 90 40 100; do
  line=
  for n in 0 1 2 3 4 5 6 7; do line="$line${esc}$((base + n))m $((base + n)) ${esc}0m"; done
  echo "$line"
done
for first in 16 52 88 124 160 196 232; do
  line=
  n=$first
  while [ $n -lt $((first + 36)) ] && [ $n -lt 256 ]; do line="$line${esc}48;5;${n}m  "; n=$((n + 1)); done
  echo "$line${esc}0m"
done
line=
for n in $(seq 0 71); do line="$line${esc}48;2;$((255 - n * 3));$((n * 7 / 2));$((120 + n))m "; done
echo "$line${esc}0m"
for n in $(seq 0 2 100); do
  bar=$(printf "%$((n / 2))s" '' | tr ' ' '#')
  printf '\r%s32m%-50s%s0m %3d %%' "$esc" "$bar" "$esc" "$n"
  sleep 0.04
done
printf '\n'
echo 'This went to standard error.' >&2
