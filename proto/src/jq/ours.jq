# What jq has and jaq has not, or has in another way. Programs are written for jq.

# What is no text has nothing to cut off.
def cut_start($s): ltrimstr($s);
def cut_end($s): rtrimstr($s);
def ltrimstr($s): if isstring and ($s | isstring) then cut_start($s) else . end;
def rtrimstr($s): if isstring and ($s | isstring) then cut_end($s) else . end;
def trimstr($s): ltrimstr($s) | rtrimstr($s);

def backwards: reverse;
def reverse: if . == null or . == "" then [] else backwards end;

# All places are found before anything is taken away.
def del(f): delpaths([path(f)]);
def leaf_paths: paths(scalars);

def toarray: if isarray then . else [.] end;
def ascii: [.] | implode;
def date: todate;
def IN(s): any(s == .; .);
def IN(source; s): any(source == s; .);
def INDEX(rows; f): reduce rows as $row ({}; .[$row | f | tostring] = $row);
def INDEX(f): INDEX(.[]; f);

def cell(quoted):
  if isstring then quoted
  elif . == null then ""
  elif isnumber or isboolean then tostring
  else error("lists and objects are no cells of a row") end;
def @csv: if isarray then map(cell("\"" + (split("\"") | join("\"\"")) + "\"")) | join(",") else error("a row must be a list") end;
def escaped($from; $to): split($from) | join($to);
def @tsv:
  if isarray
  then map(cell(escaped("\\"; "\\\\") | escaped("\t"; "\\t") | escaped("\n"; "\\n") | escaped("\r"; "\\r"))) | join("\t")
  else error("a row must be a list") end;
