// Package drift says whether numbers of today are distributed as those of a
// baseline: PSI, Kolmogorov–Smirnov, chi-square, Page–Hinkley. It computes on
// numbers and counts and keeps nothing.
package drift
