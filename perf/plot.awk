# A plot as SVG from lines "series <tab> x <tab> y".
#
#   awk -f perf/plot.awk -v title=TITLE -v xlabel=X -v ylabel=Y [-v logx=1] [-v logy=1] < FILE > FILE.svg
#
# Series keep the order in which they first come, and points theirs.

BEGIN {
  FS = "\t"
  split("#1f77b4 #d62728 #2ca02c #9467bd #ff7f0e #8c564b #17becf #7f7f7f #bcbd22 #e377c2 #000000", color, " ")
  width = 930; height = 480; left = 70; right = 300; top = 44; bottom = 56
}

NF >= 3 {
  if (!($1 in place)) { place[$1] = ++count; name[count] = $1 }
  at = place[$1]
  n = ++points[at]
  px[at, n] = $2; py[at, n] = $3
  if (seen++ == 0) { xmin = xmax = $2 + 0; ymin = ymax = $3 + 0 }
  if ($2 < xmin) xmin = $2 + 0
  if ($2 > xmax) xmax = $2 + 0
  if ($3 < ymin) ymin = $3 + 0
  if ($3 > ymax) ymax = $3 + 0
}

function log10(v) { return log(v) / log(10) }
function floor(v) { return int(v) - (v < int(v)) }
function scaled(v, low, high, log_) { return log_ ? (log10(v) - low) / (high - low) : (v - low) / (high - low) }
function x(v) { return left + scaled(v, xlow, xhigh, logx) * (width - left - right) }
function y(v) { return height - bottom - scaled(v, ylow, yhigh, logy) * (height - top - bottom) }
function text(at_x, at_y, anchor, what) {
  gsub(/&/, "\\&amp;", what); gsub(/</, "\\&lt;", what)
  printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", at_x, at_y, anchor, what
}
function line(x1, y1, x2, y2, stroke) {
  printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2, y2, stroke
}
# A round step that divides a range into some five parts.
function step(range,  raw, unit) {
  raw = range / 5
  unit = 10 ^ floor(log10(raw))
  return raw / unit > 5 ? 10 * unit : raw / unit > 2 ? 5 * unit : raw / unit > 1 ? 2 * unit : unit
}
function number(v) {
  return v >= 1e6 ? v / 1e6 " M" : v >= 1e3 ? v / 1e3 " k" : v ""
}

END {
  if (seen == 0) exit 1
  if (logx) { xlow = floor(log10(xmin)); xhigh = -floor(-log10(xmax)); if (xhigh == xlow) xhigh++ }
  else { xstep = step(xmax - xmin > 0 ? xmax : 1); xlow = 0; xhigh = -floor(-xmax / xstep) * xstep }
  if (logy) { ylow = floor(log10(ymin)); yhigh = -floor(-log10(ymax)); if (yhigh == ylow) yhigh++ }
  else { ystep = step(ymax); ylow = 0; yhigh = -floor(-ymax / ystep) * ystep }
  printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\">\n", width, height
  printf "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n", width, height
  printf "<g font-size=\"15\" font-weight=\"bold\">"; text(left, 24, "start", title); print "</g>"
  for (v = logx ? xlow : 0; v <= (logx ? xhigh : xhigh + xstep / 2); v += logx ? 1 : xstep) {
    at = logx ? 10 ^ v : v
    line(x(at), top, x(at), height - bottom, "#e0e0e0"); text(x(at), height - bottom + 18, "middle", number(at))
  }
  for (v = logy ? ylow : 0; v <= (logy ? yhigh : yhigh + ystep / 2); v += logy ? 1 : ystep) {
    at = logy ? 10 ^ v : v
    line(left, y(at), width - right, y(at), "#e0e0e0"); text(left - 8, y(at) + 4, "end", number(at))
  }
  text((left + width - right) / 2, height - 14, "middle", xlabel)
  printf "<g transform=\"translate(18 %d) rotate(-90)\">", (top + height - bottom) / 2; text(0, 0, "middle", ylabel); print "</g>"
  for (s = 1; s <= count; s++) {
    stroke = color[(s - 1) % 11 + 1]
    printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", stroke
    for (n = 1; n <= points[s]; n++) printf "%.1f,%.1f ", x(px[s, n]), y(py[s, n])
    print "\"/>"
    for (n = 1; n <= points[s]; n++) printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", x(px[s, n]), y(py[s, n]), stroke
    line(width - right + 14, top + 20 * s, width - right + 34, top + 20 * s, stroke)
    text(width - right + 40, top + 20 * s + 4, "start", name[s])
  }
  print "</svg>"
}
