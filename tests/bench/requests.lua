-- What wrk sends, and the line that tells what came back. Arguments, after `--` and the URL:
--   head=plain|browser     a request line and Host, or some 600 bytes, no two in a row alike
--   targets=/a,/b          asked for in turn
--   body=BYTES             POST so many instead of GET
--   rate=PER_SECOND        a constant rate, instead of asking again as soon as there is an answer
-- Requests are rendered once, so that wrk itself stays fast.

local ffi = require("ffi")

local VARIANTS = 500 -- a multiple of the number of targets, so that each has its share
local variants = {}
local turn = 0

local function browser_headers(number)
   return {
      ["Host"] = "shop.example:8080",
      ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
      ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
      ["Accept-Encoding"] = "gzip, deflate, br",
      ["Accept-Language"] = "en-GB,en;q=0.9,zh-CN;q=0.8",
      ["Referer"] = "http://shop.example:8080/items/" .. number,
      ["Cookie"] = string.format("sid=%032x; theme=dark; seen=%d; basket=%d", number * 7919, number, number % 7),
      ["Sec-Fetch-Dest"] = "document",
      ["Sec-Fetch-Mode"] = "navigate",
      ["Sec-Fetch-Site"] = "same-origin",
      ["Upgrade-Insecure-Requests"] = "1",
   }
end

-- Requests leave at moments that are fixed in advance, on whichever connection is free. wrk counts
-- in milliseconds, so those of one millisecond leave together. After a standstill of more than a
-- tenth of a second what was missed is not made up for.
local function keep_pace(per_second)
   ffi.cdef "struct timespec { long seconds; long nanoseconds; }; int clock_gettime(int, struct timespec *);"
   local clock = ffi.new("struct timespec")
   local interval = 1000 / per_second
   local due
   function delay()
      ffi.C.clock_gettime(1, clock) -- CLOCK_MONOTONIC
      local now = tonumber(clock.seconds) * 1000 + tonumber(clock.nanoseconds) / 1e6
      due = due and math.max(due + interval, now - 100) or now
      return math.max(0, due - now)
   end
end

function init(args)
   local options = {}
   for _, argument in ipairs(args) do
      local key, value = argument:match("^(%w+)=(.*)$")
      options[key] = value
   end
   local targets = {}
   for target in options.targets:gmatch("[^,]+") do
      table.insert(targets, target)
   end
   local browser = options.head == "browser"
   local body = options.body and string.rep("x", tonumber(options.body))
   for number = 1, VARIANTS do
      local target = targets[(number - 1) % #targets + 1]
      local headers = browser and browser_headers(number) or { ["Host"] = wrk.headers["Host"] }
      variants[number] = wrk.format(body and "POST" or "GET", target .. (browser and "?n=" .. number or ""), headers, body)
   end
   if options.rate then
      keep_pace(tonumber(options.rate))
   end
end

function request()
   turn = turn % VARIANTS + 1
   return variants[turn]
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      "measured microseconds=%d answered=%d refused=%d broken=%d p50=%d p99=%d\n",
      summary.duration, summary.requests, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50), latency:percentile(99)
   ))
end
