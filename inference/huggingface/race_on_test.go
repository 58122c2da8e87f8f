//go:build race

package huggingface

// raced: the race detector makes the forward passes ten times slower.
const raced = true
