package codec

// GRPCStatusOf is the gRPC status of an HTTP status (gRPC, "HTTP to gRPC Status Code Mapping").
func GRPCStatusOf(status int) int {
	switch status {
	case 400:
		return 13
	case 401:
		return 16
	case 403:
		return 7
	case 404:
		return 12
	case 429, 502, 503, 504:
		return 14
	}
	return 2
}
