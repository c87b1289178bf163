# Reads a Go coverage profile; fails when a package of pkg, a noun of a service
# or the event catalogue is covered to less than min per cent. Generated files
# and packages for tests do not count; the binary has no nouns, and its tests run
# it as a process of its own. A block that several tests reach is one block.
/^mode:/ { next }
{
	split($1, place, ":")
	file = place[1]
	if (file ~ /\.(pb|gen)\.go$/) next
	pkg = file
	sub(/\/[^\/]*$/, "", pkg)
	sub(/^github\.com\/commandcenter\/commandcenter\//, "", pkg)
	if (!($1 in size)) { size[$1] = $2; of[$1] = pkg }
	if ($3 > 0) hit[$1] = 1
}
END {
	for (block in size) {
		total[of[block]] += size[block]
		if (block in hit) covered[of[block]] += size[block]
	}
	below = 0
	for (pkg in total) {
		bound = (pkg ~ /^pkg\// && pkg !~ /test$/) || pkg == "proto-events" || (pkg ~ /^services\/[^\/]+\/internal\// && pkg !~ /^services\/(commandcenter\/|[^\/]+\/internal\/(serve|inbox|postgres)$)/ && pkg !~ /test$/)
		if (!bound || total[pkg] == 0) continue
		percent = 100 * covered[pkg] / total[pkg]
		all += total[pkg]; allCovered += covered[pkg]
		if (percent < min) { below++; printf "cover: %5.1f %%  %s\n", percent, pkg }
	}
	if (all == 0) { print "cover: the profile names no package of ours"; exit 1 }
	printf "cover: pkg and nouns %.1f %% of %d statements; %d packages below %d %%\n", 100 * allCovered / all, all, below, min
	exit below > 0
}
