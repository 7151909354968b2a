package pod

import "strings"

// Nearest is the name among known that somebody has probably meant who wrote name,
// empty where none is near: they differ in case alone, or by at most two letters and
// a third of the length.
func Nearest(name string, known []string) string {
	best, least := "", min(2, len(name)/3)+1
	for _, candidate := range known {
		if strings.EqualFold(name, candidate) {
			return candidate
		}
		if d := distance(name, candidate, least); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is how many letters one has to add, leave out or replace to make a name of
// another (Levenshtein), and limit where it is that or more.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return min(limit, row[len(b)])
}
