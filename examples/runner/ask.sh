# A conversation over standard input and output: it asks for a name, then adds up numbers until the input ends.
echo 'What is your name?'
read -r name || { echo 'Nobody there?' >&2; exit 1; }
echo "Hello, $name! Give me numbers, one a line; when the input ends, I tell their sum."
sum=0
while read -r number; do
  case $number in
    '' | *[!0-9]*) echo "\"$number\" is no number" >&2 ;;
    *) sum=$((sum + number)); echo "$sum so far" ;;
  esac
done
printf '\033[1m%s, they make \033[32m%s\033[0m.\n' "$name" "$sum"
