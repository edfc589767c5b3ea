// Streams, events, graphs. Work runs when it is submitted, or, with PTXRUN_LAZY=1, only when the
// host waits for it: the latest moment the rules allow, which shows missing synchronisation.
#include <chrono>
#include <deque>
#include <set>

#include "rt_state.h"
#include "run_options.h"

struct CUstream_st {
    std::deque<ptxrun::Work> queue;
    unsigned flags = 0;
};
struct CUevent_st {
    CUstream_st *stream = nullptr; // where it was last recorded, while that is still pending
    bool recorded = false, captured = false;
    uint64_t generation = 0;
    std::chrono::steady_clock::time_point time;
};
struct CUgraph_st {
    std::vector<ptxrun::Work> work;
};
struct CUgraphExec_st {
    std::vector<ptxrun::Work> work;
};

namespace ptxrun {
namespace {

CUstream_st g_default;
std::set<CUstream_st *> g_streams{&g_default};

// At most one capture at a time; forked streams join it through events.
CUstream_st *g_capture_origin;
std::set<CUstream_st *> g_capturing;
CUgraph_st *g_graph;

CUstream_st *get(cudaStream_t s)
{
    const bool is_default = !s || s == cudaStreamLegacy || s == cudaStreamPerThread;
    return is_default ? &g_default : s;
}

void drain(CUstream_st *s)
{
    while (!s->queue.empty()) {
        Work w = std::move(s->queue.front());
        s->queue.pop_front();
        w();
    }
}

// The default stream waits for all blocking streams, and they wait for it.
void drain_for_order(CUstream_st *s)
{
    if (s == &g_default) {
        for (CUstream_st *other : g_streams) {
            if (other != s && !(other->flags & cudaStreamNonBlocking)) {
                drain(other);
            }
        }
    } else if (!(s->flags & cudaStreamNonBlocking)) {
        drain(&g_default);
    }
}

} // namespace

bool is_capturing(cudaStream_t s)
{
    return g_capturing.count(get(s)) != 0;
}

cudaError_t submit(cudaStream_t stream, Work work)
{
    CUstream_st *s = get(stream);
    if (fault() != cudaSuccess) {
        return fault();
    }
    if (!g_streams.count(s)) {
        return cudaErrorInvalidResourceHandle;
    }
    if (g_capturing.count(s)) {
        g_graph->work.push_back(std::move(work));
        return cudaSuccess;
    }
    if (g_capture_origin && s == &g_default) {
        return cudaErrorStreamCaptureImplicit;
    }
    if (!options().lazy_streams) {
        work();
        return cudaSuccess;
    }
    drain_for_order(s);
    s->queue.push_back(std::move(work));
    return cudaSuccess;
}

cudaError_t synchronize(cudaStream_t stream)
{
    CUstream_st *s = get(stream);
    if (!g_streams.count(s)) {
        return cudaErrorInvalidResourceHandle;
    }
    if (g_capturing.count(s)) {
        return cudaErrorStreamCaptureUnsupported;
    }
    drain_for_order(s);
    drain(s);
    return cudaSuccess;
}

void drop_all_work()
{
    for (CUstream_st *s : g_streams) {
        s->queue.clear();
    }
}

void synchronize_all()
{
    for (CUstream_st *s : g_streams) {
        drain(s);
    }
}

} // namespace ptxrun

using namespace ptxrun;

// ---- streams ----
PTXRUN_API cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    ApiLock lock;
    *out = new CUstream_st;
    (*out)->flags = flags;
    g_streams.insert(*out);
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaStreamCreate(cudaStream_t *out)
{
    return cudaStreamCreateWithFlags(out, 0);
}
PTXRUN_API cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int)
{
    return cudaStreamCreateWithFlags(out, flags);
}
PTXRUN_API cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = *greatest = 0;
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    ApiLock lock;
    if (s == &g_default || !g_streams.count(s)) {
        return result(cudaErrorInvalidResourceHandle);
    }
    drain(s);
    g_streams.erase(s);
    g_capturing.erase(s);
    delete s;
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    ApiLock lock;
    g_counters.synchronizations++;
    return result(synchronize(s));
}
PTXRUN_API cudaError_t cudaStreamQuery(cudaStream_t s)
{
    ApiLock lock;
    return result(synchronize(s)); // asking often enough must end, so asking finishes the work
}
PTXRUN_API cudaError_t cudaDeviceSynchronize()
{
    ApiLock lock;
    if (g_capture_origin) {
        return result(cudaErrorStreamCaptureUnsupported);
    }
    g_counters.synchronizations++;
    synchronize_all();
    return result(cudaSuccess);
}
PTXRUN_API cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t f, void *data)
{
    ApiLock lock;
    return result(submit(s, [=] { f(data); }));
}

// ---- events ----
PTXRUN_API cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned)
{
    *out = new CUevent_st;
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaEventCreate(cudaEvent_t *out)
{
    return cudaEventCreateWithFlags(out, 0);
}
PTXRUN_API cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    ApiLock lock;
    if (e->stream && g_streams.count(e->stream)) {
        drain(e->stream);
    }
    delete e;
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t stream)
{
    ApiLock lock;
    if (e->stream && g_streams.count(e->stream)) {
        drain(e->stream); // its earlier record is still queued
    }
    e->recorded = true;
    if ((e->captured = is_capturing(stream))) {
        return cudaSuccess;
    }
    e->stream = get(stream);
    const uint64_t generation = ++e->generation;
    return result(submit(stream, [e, generation] {
        if (e->generation != generation) {
            return;
        }
        e->time = std::chrono::steady_clock::now();
        e->stream = nullptr;
    }));
}
PTXRUN_API cudaError_t cudaEventRecordWithFlags(cudaEvent_t e, cudaStream_t s, unsigned)
{
    return cudaEventRecord(e, s);
}
PTXRUN_API cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t e, unsigned)
{
    ApiLock lock;
    if (!e->recorded) {
        return cudaSuccess;
    }
    if (e->captured) { // the waiting stream joins the capture
        if (g_capture_origin) {
            g_capturing.insert(get(stream));
        }
        return cudaSuccess;
    }
    if (!e->stream) {
        return cudaSuccess;
    }
    CUstream_st *other = e->stream;
    return result(submit(stream, [e, other] {
        while (e->stream == other && !other->queue.empty()) {
            Work w = std::move(other->queue.front());
            other->queue.pop_front();
            w();
        }
    }));
}
PTXRUN_API cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    ApiLock lock;
    if (e->captured) {
        return result(cudaErrorCapturedEvent);
    }
    g_counters.synchronizations++;
    return result(e->stream ? synchronize(e->stream) : cudaSuccess);
}
PTXRUN_API cudaError_t cudaEventQuery(cudaEvent_t e)
{
    ApiLock lock;
    if (e->captured) {
        return result(cudaErrorCapturedEvent);
    }
    return result(e->stream ? synchronize(e->stream) : cudaSuccess); // see cudaStreamQuery
}
PTXRUN_API cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b)
{
    ApiLock lock;
    if (!a->recorded || !b->recorded) {
        return result(cudaErrorInvalidResourceHandle);
    }
    if (a->stream || b->stream) {
        return result(cudaErrorNotReady);
    }
    *ms = std::chrono::duration<float, std::milli>(b->time - a->time).count();
    return cudaSuccess;
}

// ---- graphs: a recorded list of work, replayed in order ----
PTXRUN_API cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode)
{
    ApiLock lock;
    if (get(s) == &g_default || g_capture_origin) {
        return result(cudaErrorStreamCaptureUnsupported);
    }
    drain(get(s));
    g_capture_origin = get(s);
    g_capturing = {g_capture_origin};
    g_graph = new CUgraph_st;
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out)
{
    ApiLock lock;
    if (!g_capture_origin || get(s) != g_capture_origin) {
        return result(cudaErrorIllegalState);
    }
    *out = g_graph;
    g_graph = nullptr;
    g_capture_origin = nullptr;
    g_capturing.clear();
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus *status)
{
    ApiLock lock;
    *status = is_capturing(s) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t g, unsigned long long)
{
    ApiLock lock;
    *out = new CUgraphExec_st{g->work};
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *out, cudaGraph_t g,
                                                     unsigned long long flags)
{
    return cudaGraphInstantiate(out, g, flags);
}
PTXRUN_API cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t)
{
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaGraphLaunch(cudaGraphExec_t x, cudaStream_t s)
{
    ApiLock lock;
    const bool healthy = fault() == cudaSuccess;
    g_counters.graph_launches++;
    for (const Work &w : x->work) {
        const cudaError_t e = submit(s, w);
        if (e != cudaSuccess) { // a kernel of the graph that fails does so after this call
            return healthy && fault() != cudaSuccess ? cudaSuccess : result(e);
        }
    }
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaGraphExecDestroy(cudaGraphExec_t x)
{
    delete x;
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    delete g;
    return cudaSuccess;
}
