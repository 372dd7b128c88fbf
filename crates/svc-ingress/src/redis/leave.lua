#!lua flags=allow-oom
-- The reader ends in good order.
-- KEYS 1 reader   ARGV 1 fence
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
