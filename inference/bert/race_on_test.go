//go:build race

package bert

// raced: the race detector makes the reference ten times slower.
const raced = true
