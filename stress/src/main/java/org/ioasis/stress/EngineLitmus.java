// SPDX-License-Identifier: Apache-2.0
package org.ioasis.stress;

import static org.ioasis.memory.Outcome.OK;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.ioasis.iommu.DomainListener;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.PagingDomain;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.iommu.mapping.MappingStores;
import org.ioasis.iommu.mapping.TablePool;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.memory.Access;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Region;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressMeta;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.ZZZ_Result;
import org.openjdk.jcstress.infra.results.ZZ_Result;

/**
 * The whole engine, from a request to its answer, beside a device that accesses memory: no access
 * that found what a request takes away is still running when the request is answered, and what
 * listeners hear is true at that moment.
 */
public abstract class EngineLitmus {
    private static final int ENDPOINT = 1;
    private static final long IOVA = 0x5000;
    private static final long LAST = 0x5fff;
    private static final long RAM = 0x10_0000;
    private static final MemorySegment PAGE = MemorySegment.ofArray(new long[512]);
    private static final IommuOptions OPTIONS = IommuOptions.builder().bypassAtStart(false).build();

    private static final VarHandle ANSWERED;
    private static final VarHandle HEARD;

    static {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            ANSWERED = lookup.findVarHandle(EngineLitmus.class, "answered", boolean.class);
            HEARD = lookup.findVarHandle(EngineLitmus.class, "heard", boolean.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final Guards guards = new Guards(() -> 0, lease -> {});
    private final GuestMemory memory = new GuestMemory(guards, 1);
    private final Iommu iommu;
    private final Endpoint endpoint;
    private final PagingDomain domain;
    private final Dma dma;

    @SuppressWarnings("unused") // by the handles
    private boolean answered;

    @SuppressWarnings("unused")
    private boolean heard;

    EngineLitmus(boolean isHeard) {
        TablePool pool = new TablePool(new Tables(), 8 * 4096, guards);
        iommu =
                new Iommu(
                        OPTIONS,
                        guards,
                        new FaultQueue(1, 1, () -> 0),
                        MappingStores.forPageSizes(OPTIONS.pageSizeMask(), pool));
        endpoint = iommu.plug(ENDPOINT, EndpointProperties.UNLIMITED);
        if (isHeard) {
            iommu.listen(endpoint.attachment(), new Listener());
        }
        memory.add(new Region(RAM, RAM + 0xfff, PAGE, true, null));
        dma = iommu.dma(endpoint, memory, guards.open());
        domain = iommu.pagingDomain(1);
        iommu.attach(endpoint.attachment(), domain, EngineLitmus::mustBeOk);
        heard = false; // the listener has heard of the attach
    }

    private static void mustBeOk(Status status) {
        if (status != Status.OK) {
            throw new IllegalStateException(status.toString());
        }
    }

    private void answer(Status status) {
        mustBeOk(status);
        ANSWERED.setRelease(this, true);
    }

    private final class Listener implements DomainListener {
        @Override
        public void begin() {}

        @Override
        public void translation(Kind kind) {}

        @Override
        public void mapped(long first, long last, long output, int flags) {}

        @Override
        public void unmapped(long first, long last) {}

        @Override
        public void commit(Answer answer) {
            HEARD.setRelease(EngineLitmus.this, true);
            answer.ok();
        }
    }

    final boolean isAnswered() {
        return (boolean) ANSWERED.getAcquire(this);
    }

    final boolean isHeard() {
        return (boolean) HEARD.getAcquire(this);
    }

    final void forget() {
        heard = false;
        answered = false;
    }

    final void map() {
        domain.map(IOVA, LAST, RAM, MapFlags.READ, this::answer);
    }

    final void unmap() {
        domain.unmap(IOVA, LAST, this::answer);
        settle();
    }

    final void unmapInBatch() {
        iommu.beginBatch();
        domain.unmap(IOVA, LAST, this::answer);
        iommu.endBatch();
        settle();
    }

    final void detach() {
        iommu.detach(endpoint.attachment(), this::answer);
        settle();
    }

    final void removeMemory() {
        memory.remove(RAM, RAM + 0xfff, () -> answer(Status.OK));
        settle();
    }

    private void settle() {
        while (guards.hasPending()) {
            guards.poll();
        }
    }

    /** A device's access: did it find memory, and was the request answered meanwhile? */
    final void access(ZZ_Result result) {
        dma.enter();
        result.r1 = finds();
        result.r2 = isAnswered();
        dma.leave();
    }

    final boolean finds() {
        return dma.resolve(IOVA, 8, Access.READ) == OK;
    }

    /**
     * What the tests have in common in which a request takes away what an access uses. The actors
     * must be in each test: jcstress does not look for inherited ones.
     */
    @Outcome(
            id = "true, true",
            expect = Expect.FORBIDDEN,
            desc = "what the request took away is in use, and the request answered")
    @Outcome(expect = Expect.ACCEPTABLE, desc = "not found, or over before the answer")
    public abstract static class TakingAway extends EngineLitmus {
        TakingAway() {
            super(false);
            map();
            forget();
        }
    }

    @JCStressTest
    @JCStressMeta(TakingAway.class)
    @State
    public static class Unmap extends TakingAway {
        @Actor
        public void loop() {
            unmap();
        }

        @Actor
        public void device(ZZ_Result result) {
            access(result);
        }
    }

    @JCStressTest
    @JCStressMeta(TakingAway.class)
    @State
    public static class UnmapInBatch extends TakingAway {
        @Actor
        public void loop() {
            unmapInBatch();
        }

        @Actor
        public void device(ZZ_Result result) {
            access(result);
        }
    }

    @JCStressTest
    @JCStressMeta(TakingAway.class)
    @State
    public static class Detach extends TakingAway {
        @Actor
        public void loop() {
            detach();
        }

        @Actor
        public void device(ZZ_Result result) {
            access(result);
        }
    }

    @JCStressTest
    @JCStressMeta(TakingAway.class)
    @State
    public static class Memory extends TakingAway {
        @Actor
        public void loop() {
            removeMemory();
        }

        @Actor
        public void device(ZZ_Result result) {
            access(result);
        }
    }

    /** In the order answered, heard, found: what comes later cannot have been missed earlier. */
    @JCStressTest
    @Outcome(
            id = {
                "false, false, true",
                "false, false, false",
                "false, true, true",
                "true, true, true"
            },
            expect = Expect.ACCEPTABLE,
            desc = "mapped, then heard, then answered")
    @Outcome(
            expect = Expect.FORBIDDEN,
            desc = "answered before it was heard, or heard before it was mapped")
    @State
    public static class ListenerOfMap extends EngineLitmus {
        public ListenerOfMap() {
            super(true);
        }

        @Actor
        public void loop() {
            map();
        }

        @Actor
        public void device(ZZZ_Result result) {
            look(result);
        }
    }

    @JCStressTest
    @Outcome(
            id = {
                "false, false, true",
                "false, false, false",
                "false, true, false",
                "true, true, false"
            },
            expect = Expect.ACCEPTABLE,
            desc = "unfindable, then heard, then answered")
    @Outcome(
            expect = Expect.FORBIDDEN,
            desc = "answered before it was heard, or heard while it could be found")
    @State
    public static class ListenerOfUnmap extends EngineLitmus {
        public ListenerOfUnmap() {
            super(true);
            map();
            forget();
        }

        @Actor
        public void loop() {
            unmap();
        }

        @Actor
        public void device(ZZZ_Result result) {
            look(result);
        }
    }

    final void look(ZZZ_Result result) {
        result.r1 = isAnswered();
        result.r2 = isHeard();
        dma.enter();
        result.r3 = finds();
        dma.leave();
    }
}
