//go:build !race

package huggingface

const raced = false
