# Bars as SVG from lines "group <tab> name <tab> value". Each group has its own scale.
#
#   awk -f perf/bars.awk -v title=TITLE < FILE > FILE.svg
#
# Groups and bars keep the order in which they come; a name has the same colour in each.

BEGIN {
  FS = "\t"
  split("#1f77b4 #d62728 #2ca02c #9467bd #ff7f0e #8c564b #17becf #7f7f7f #bcbd22 #e377c2", color, " ")
  width = 860; left = 180; right = 90; row = 22; head = 34; top = 44
}

NF >= 3 {
  if (!($1 in bars)) group[++groups] = $1
  if (!($2 in shade)) shade[$2] = color[names++ % 10 + 1]
  n = ++bars[$1]
  name[$1, n] = $2; value[$1, n] = $3 + 0
  if ($3 + 0 > most[$1]) most[$1] = $3 + 0
  rows++
}

function text(at_x, at_y, anchor, what) {
  gsub(/&/, "\\&amp;", what); gsub(/</, "\\&lt;", what)
  printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", at_x, at_y, anchor, what
}

END {
  if (rows == 0) exit 1
  height = top + groups * head + rows * row + 10
  printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\">\n", width, height
  printf "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n", width, height
  printf "<g font-size=\"15\" font-weight=\"bold\">"; text(20, 24, "start", title); print "</g>"
  at = top
  for (g = 1; g <= groups; g++) {
    key = group[g]
    at += head
    printf "<g font-weight=\"bold\">"; text(20, at - 10, "start", key); print "</g>"
    for (n = 1; n <= bars[key]; n++) {
      long = most[key] > 0 ? value[key, n] / most[key] * (width - left - right) : 0
      printf "<rect x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", left, at, long, row - 6, shade[name[key, n]]
      text(left - 8, at + 12, "end", name[key, n])
      text(left + long + 6, at + 12, "start", value[key, n])
      at += row
    }
  }
  print "</svg>"
}
