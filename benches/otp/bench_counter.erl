%% The server of call, idle and restart: a gen_server whose state is a counter.
-module(bench_counter).
-behaviour(gen_server).
-export([start_link/0, start_link/2, init/1, handle_call/3, handle_cast/2]).

start_link() -> gen_server:start_link(?MODULE, nobody, []).

%% Registered, and tells Owner of each incarnation.
start_link(Name, Owner) -> gen_server:start_link({local, Name}, ?MODULE, Owner, []).

init(nobody) -> {ok, 0};
init(Owner) -> Owner ! {up, self()}, {ok, 0}.

handle_call(increment, _From, Counter) -> {reply, Counter + 1, Counter + 1}.

handle_cast(crash, _Counter) -> error(told_to_crash).
