//go:build !race

package bert

const raced = false
