%% The processes of cast, fanin, pairs and ring, as gen_servers that cast to each other.
%% The state is a tuple per role; Owner is told when a round is done.
-module(bench_relay).
-behaviour(gen_server).
-export([start/1, init/1, handle_call/3, handle_cast/2]).

start(Role) ->
    {ok, Pid} = gen_server:start(?MODULE, Role, []),
    Pid.

init(Role) -> {ok, Role}.

%% Waits for what was sent before, and hands over what only exists now.
handle_call({next, Next}, _From, {link, _, Owner}) -> {reply, ok, {link, Next, Owner}};
handle_call({opponent, Opponent}, _From, {pinger, _, Left, Owner}) ->
    {reply, ok, {pinger, Opponent, Left, Owner}}.

%% receiver: counts what it gets, down from what it was told to expect.
handle_cast({note, Value}, {receiver, Left, Sum, Owner}) ->
    case Left of
        1 -> Owner ! done;
        _ -> ok
    end,
    {noreply, {receiver, Left - 1, Sum + Value, Owner}};
handle_cast({expect, Messages}, {receiver, _, Sum, Owner}) ->
    {noreply, {receiver, Messages, Sum, Owner}};
%% sender: sends what it is told to send.
handle_cast({flood, Messages}, {sender, Receiver} = State) ->
    flood(Messages, Receiver),
    {noreply, State};
%% ponger: only plays back.
handle_cast(ball, {ponger, Opponent} = State) ->
    gen_server:cast(Opponent, ball),
    {noreply, State};
%% pinger: serves and counts laps.
handle_cast(ball, {pinger, Opponent, 1, Owner}) ->
    Owner ! done,
    {noreply, {pinger, Opponent, 0, Owner}};
handle_cast(ball, {pinger, Opponent, Left, Owner}) ->
    gen_server:cast(Opponent, ball),
    {noreply, {pinger, Opponent, Left - 1, Owner}};
handle_cast({serve, Laps}, {pinger, Opponent, _, Owner}) ->
    gen_server:cast(Opponent, ball),
    {noreply, {pinger, Opponent, Laps, Owner}};
%% link: passes the token on.
handle_cast({token, 0}, {link, _, Owner} = State) ->
    Owner ! done,
    {noreply, State};
handle_cast({token, Hops}, {link, Next, _} = State) ->
    gen_server:cast(Next, {token, Hops - 1}),
    {noreply, State}.

flood(0, _) -> ok;
flood(Messages, Receiver) ->
    gen_server:cast(Receiver, {note, Messages}),
    flood(Messages - 1, Receiver).
