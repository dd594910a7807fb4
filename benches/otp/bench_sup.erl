%% The supervisors of idle (simple_one_for_one) and restart (one_for_one).
-module(bench_sup).
-behaviour(supervisor).
-export([start_link/1, init/1]).

start_link(Kind) -> supervisor:start_link(?MODULE, Kind).

init(many) ->
    Child = #{id => counter, start => {bench_counter, start_link, []}},
    {ok, {#{strategy => simple_one_for_one}, [Child]}};
init({one, Name, Owner}) ->
    Child = #{id => counter, start => {bench_counter, start_link, [Name, Owner]}},
    {ok, {#{strategy => one_for_one, intensity => 1000000, period => 1}, [Child]}}.
