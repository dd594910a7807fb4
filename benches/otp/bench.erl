%% Does one scenario and prints its figures as one line of JSON, as src/outcome.rs expects it.
%% The sizes come from the command line, so that they stand in one place: src/measure.rs.
-module(bench).
-export([main/1]).

main([Scenario, Variant | Sizes]) ->
    try
        Metrics = run(list_to_atom(Scenario), list_to_atom(Variant), sizes(Sizes)),
        case Metrics of
            {line, Line} -> io:format("~s~n", [Line]);
            _ -> io:format("{\"metrics\":[~s]}~n", [lists:join(",", [json(M) || M <- Metrics])])
        end,
        halt(0)
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "~p:~p ~p~n", [Class, Reason, Stack]),
            halt(1)
    end.

%% "name=value" arguments, all integers.
sizes(Sizes) ->
    maps:from_list([begin
        [Name, Value] = string:split(Size, "="),
        {list_to_atom(Name), list_to_integer(Value)}
    end || Size <- Sizes]).

json({Metric, Unit, Value}) ->
    io_lib:format("{\"metric\":\"~s\",\"unit\":\"~s\",\"value\":~w}", [Metric, Unit, float(Value)]).

run(call, Variant, S) -> [{round_trip, ns, in_process(fun() -> call(Variant, S) end)}];
run(cast, _, S) -> [{rate, "msgs/s", in_process(fun() -> flood(1, S) end)}];
run(fanin, _, #{senders := N} = S) -> [{rate, "msgs/s", in_process(fun() -> flood(N, S) end)}];
run(pairs, _, S) -> [{rate, "msgs/s", in_process(fun() -> pairs(S) end)}];
run(ring, _, S) -> [{hop, ns, in_process(fun() -> ring(S) end)}];
run(spawn, _, S) -> [{rate, "1/s", in_process(fun() -> spawns(S) end)}];
run(idle, _, S) -> [{rss_per_process, bytes, in_process(fun() -> idle(S) end)}];
run(timers, _, S) -> [{arm_cancel, ns, in_process(fun() -> timers(S) end)}];
run(idle_cpu, _, S) -> [{share, "%", in_process(fun() -> idle_cpu(S) end)}];
run(restart, _, S) ->
    Times = lists:sort(in_process(fun() -> restart(S) end)),
    [{p50, us, percentile(50, Times)}, {p99, us, percentile(99, Times)}];
run(runaway, Variant, S) -> in_process(fun() -> runaway(Variant, S) end).

%% A fresh process, so that the boot process's heap plays no part.
in_process(Fun) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({result, Fun()}) end),
    receive
        {'DOWN', Ref, process, Pid, {result, Result}} -> Result;
        {'DOWN', Ref, process, Pid, Reason} -> error(Reason)
    end.

%% call

call(cross_worker, S) ->
    %% The scheduler option binds a process to a scheduler. The driver binds its caller likewise.
    {ok, Server} = gen_server:start(bench_counter, nobody, [{spawn_opt, [{scheduler, 2}]}]),
    Owner = self(),
    spawn_opt(fun() -> Owner ! {result, calls(Server, S)} end, [link, {scheduler, 1}]),
    receive {result, Nanoseconds} -> Nanoseconds end;
call(_, S) ->
    {ok, Server} = gen_server:start(bench_counter, nobody, []),
    calls(Server, S).

calls(Server, #{calls := Calls} = S) ->
    nanoseconds_each(rounds(S, Calls, fun() -> call_times(Calls, Server) end)).

call_times(0, _) -> ok;
call_times(Left, Server) ->
    _ = gen_server:call(Server, increment),
    call_times(Left - 1, Server).

%% cast, fanin

flood(Count, #{messages := Messages} = S) ->
    Receiver = bench_relay:start({receiver, 0, 0, self()}),
    Senders = [bench_relay:start({sender, Receiver}) || _ <- lists:seq(1, Count)],
    per_second(rounds(S, Messages, fun() ->
        gen_server:cast(Receiver, {expect, Messages}),
        [gen_server:cast(Sender, {flood, Messages div Count}) || Sender <- Senders],
        receive done -> ok end
    end)).

%% pairs

pairs(#{pairs := Pairs, laps := Laps} = S) ->
    Pingers = [start_pair(self()) || _ <- lists:seq(1, Pairs)],
    per_second(rounds(S, 2 * Pairs * Laps, fun() ->
        [gen_server:cast(Pinger, {serve, Laps}) || Pinger <- Pingers],
        [receive done -> ok end || _ <- Pingers]
    end)).

start_pair(Owner) ->
    Pinger = bench_relay:start({pinger, nobody, 0, Owner}),
    ok = gen_server:call(Pinger, {opponent, bench_relay:start({ponger, Pinger})}),
    Pinger.

%% ring

ring(#{ring := Length, hops := Hops} = S) ->
    First = bench_relay:start({link, nobody, self()}),
    Link = fun(_, Next) -> bench_relay:start({link, Next, self()}) end,
    Last = lists:foldl(Link, First, lists:seq(2, Length)),
    ok = gen_server:call(First, {next, Last}),
    nanoseconds_each(rounds(S, Hops, fun() ->
        gen_server:cast(First, {token, Hops}),
        receive done -> ok end
    end)).

%% spawn

spawns(#{spawns := Spawns} = S) ->
    per_second(rounds(S, Spawns, fun() ->
        spawn_times(Spawns),
        await_downs(Spawns)
    end)).

spawn_times(0) -> ok;
spawn_times(Left) ->
    _ = spawn_monitor(fun() -> ok end),
    spawn_times(Left - 1).

await_downs(0) -> ok;
await_downs(Left) ->
    receive {'DOWN', _, process, _, normal} -> await_downs(Left - 1) end.

%% idle

idle(#{idle := Processes}) ->
    {ok, Supervisor} = bench_sup:start_link(many),
    Before = rss(),
    start_idle(Processes, Supervisor),
    (rss() - Before) / Processes.

start_idle(0, _) -> ok;
start_idle(Left, Supervisor) ->
    {ok, Server} = supervisor:start_child(Supervisor, []),
    1 = gen_server:call(Server, increment),
    start_idle(Left - 1, Supervisor).

rss() ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [Kilobytes]} = re:run(Status, "VmRSS:\\s+(\\d+) kB", [{capture, [1], list}]),
    list_to_integer(Kilobytes) * 1024.

%% timers

timers(#{timers_armed := Armed, timers := Timers, timer_delay_ms := Delay} = S) ->
    Kept = [erlang:start_timer(Delay, self(), none) || _ <- lists:seq(1, Armed)],
    Each = nanoseconds_each(rounds(S, Timers, fun() -> arm_and_cancel(Timers, Delay) end)),
    %% So that the references are kept until here.
    Armed = length(Kept),
    Each.

arm_and_cancel(0, _) -> ok;
arm_and_cancel(Left, Delay) ->
    Timer = erlang:start_timer(Delay, self(), none),
    true = is_integer(erlang:cancel_timer(Timer)),
    arm_and_cancel(Left - 1, Delay).

%% idle_cpu

idle_cpu(#{waiting := Waiting, idle_ms := Ms}) ->
    {ok, Supervisor} = bench_sup:start_link(many),
    start_idle(Waiting, Supervisor),
    Before = processor_ms(),
    timer:sleep(Ms),
    100 * (processor_ms() - Before) / Ms.

%% User and system time of this OS process; the kernel's clock ticks 100 times a second.
processor_ms() ->
    {ok, Stat} = file:read_file("/proc/self/stat"),
    [_, Fields] = string:split(Stat, ")", trailing),
    Words = string:lexemes(Fields, " \n"),
    User = binary_to_integer(lists:nth(12, Words)),
    System = binary_to_integer(lists:nth(13, Words)),
    (User + System) * 10.

%% restart

restart(#{crashes := Crashes, crashes_a_supervisor := Each}) ->
    lists:append([crash_one_supervisor(Each) || _ <- lists:seq(1, Crashes div Each)]).

crash_one_supervisor(Crashes) ->
    {ok, Supervisor} = bench_sup:start_link({one, counter, self()}),
    receive {up, _} -> ok end,
    Times = [crash() || _ <- lists:seq(1, Crashes)],
    Ref = monitor(process, Supervisor),
    unlink(Supervisor),
    exit(Supervisor, shutdown),
    receive {'DOWN', Ref, process, Supervisor, _} -> ok end,
    Times.

crash() ->
    Start = erlang:monotonic_time(nanosecond),
    gen_server:cast(counter, crash),
    receive {up, _} -> ok end,
    1 = gen_server:call(counter, increment),
    (erlang:monotonic_time(nanosecond) - Start) / 1000.

%% runaway

%% The ticker is the one of the Rust program; its line of JSON is the outcome.
runaway(Variant, #{ticks := Ticks} = S) ->
    {ok, Listener} = gen_tcp:listen(0, [binary, {ip, {127, 0, 0, 1}}, {active, false}, {nodelay, true}]),
    {ok, Port} = inet:port(Listener),
    spawn(fun() -> serve(Listener, Variant, S) end),
    Server = "127.0.0.1:" ++ integer_to_list(Port),
    Ticker = open_port({spawn_executable, os:getenv("LINDEN_BENCHES_TICKER")},
        [binary, {args, ["ticker", Server, "--ticks", integer_to_list(Ticks)]}, {line, 4096}, exit_status]),
    {line, receive
        {Ticker, {data, {eol, Line}}} -> Line;
        {Ticker, {exit_status, Status}} -> error({ticker, Status})
    end}.

serve(Listener, Variant, S) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    {ok, Counter} = gen_server:start(bench_counter, nobody, []),
    echo(Socket, Counter, Variant, S).

echo(Socket, Counter, Variant, #{ticks_alone := Alone} = S) ->
    {ok, Tick} = gen_tcp:recv(Socket, 8),
    case gen_server:call(Counter, increment, infinity) of
        Alone -> beside(Variant, S);
        _ -> ok
    end,
    ok = gen_tcp:send(Socket, Tick),
    echo(Socket, Counter, Variant, S).

beside(alone, _) -> ok;
beside(loops1, _) -> loops(1);
beside(loops4, _) -> loops(4);
beside(loops8, _) -> loops(8);
beside(repeat4, #{repeated_work_ms := Ms}) ->
    [self_sender(Ms * 1000000) || _ <- lists:seq(1, 4)].

loops(Count) -> [spawn(fun loop/0) || _ <- lists:seq(1, Count)].

loop() -> loop().

self_sender(Work) ->
    Pid = spawn(fun() -> repeat(Work) end),
    Pid ! go.

repeat(Work) ->
    receive go -> ok end,
    work_until(erlang:monotonic_time(nanosecond) + Work),
    self() ! go,
    repeat(Work).

work_until(End) ->
    case erlang:monotonic_time(nanosecond) < End of
        true -> work_until(End);
        false -> ok
    end.

percentile(Percent, Sorted) ->
    lists:nth(max(1, ceil(Percent / 100 * length(Sorted))), Sorted).

%% Rounds as in src/measure.rs: a fifth of the time warms up, then they count.

rounds(#{measure_ms := Ms}, Operations, Round) ->
    Measure = Ms * 1000000,
    warm_up(Measure div 5, Round),
    measure(Measure, Operations, Round, 0, 0).

warm_up(Left, _) when Left =< 0 -> ok;
warm_up(Left, Round) -> warm_up(Left - timed(Round), Round).

measure(Measure, Operations, Round, Done, Elapsed) when Elapsed < Measure ->
    measure(Measure, Operations, Round, Done + Operations, Elapsed + timed(Round));
measure(_, _, _, Done, Elapsed) -> {Done, Elapsed}.

timed(Round) ->
    Start = erlang:monotonic_time(nanosecond),
    Round(),
    erlang:monotonic_time(nanosecond) - Start.

nanoseconds_each({Done, Elapsed}) -> Elapsed / Done.
per_second({Done, Elapsed}) -> Done * 1.0e9 / Elapsed.
