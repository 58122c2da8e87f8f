package trial

// As testdata/wealth.py prints them.
const (
	wealthBetter    = 6.443378997138
	wealthNotBetter = -7.130801926843
)
