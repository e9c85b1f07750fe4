-- Heads as a browser sends them, about 600 bytes, no two in a row alike: rendered once, so that
-- wrk itself stays fast. The path comes from the command line.

local variants = {}
local turn = 0

function init(args)
   for number = 1, 512 do
      local headers = {
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
      variants[number] = wrk.format("GET", wrk.path .. "?n=" .. number, headers)
   end
end

function request()
   turn = turn % #variants + 1
   return variants[turn]
end
