-- Posts the bodies of one file in turn, so that no server can answer from a cache, and prints one line of figures.
--
-- wrk ... -s post.lua URL -- BODIES CONTENT_TYPE
-- BODIES: records of "<body length> <Inference-Header-Content-Length or ->\n<body>", one after another.

local requests, turn = {}, 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  while true do
    local line = file:read("*l")
    if not line then break end
    local length, header = line:match("^(%d+) (%S+)$")
    local headers = { ["Content-Type"] = arguments[2], ["Host"] = "127.0.0.1" }
    if header ~= "-" then headers["Inference-Header-Content-Length"] = header end
    requests[#requests + 1] = wrk.format("POST", nil, headers, file:read(tonumber(length)))
  end
  file:close()
  turn = math.random(#requests)
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    'FIGURES {"requests": %d, "duration_us": %d, "refused": %d, "broken": %d, "p50_us": %d, "p99_us": %d, "maximum_us": %d}\n',
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
