// SPDX-License-Identifier: Apache-2.0
package org.ioasis.stress;

import java.lang.foreign.MemorySegment;
import org.ioasis.iommu.pagetable.format.Amdv1Format;
import org.ioasis.iommufd.Device;
import org.ioasis.iommufd.FaultQueue;
import org.ioasis.iommufd.HwDevice;
import org.ioasis.iommufd.HwDomain;
import org.ioasis.iommufd.HwGroup;
import org.ioasis.iommufd.HwPagingDomain;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.NestedDomain;
import org.ioasis.iommufd.NestedHwpt;
import org.ioasis.iommufd.PagingHwpt;
import org.ioasis.iommufd.TableDomain;
import org.ioasis.iommufd.UserData;
import org.ioasis.spec.Iommufd;
import org.jspecify.annotations.Nullable;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressMeta;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.I_Result;

/**
 * A group of page requests beside its answer and beside what takes its table away: when all is over
 * the device has one answer for it.
 */
@Outcome(id = "1", expect = Expect.ACCEPTABLE, desc = "one answer")
@Outcome(expect = Expect.FORBIDDEN, desc = "no answer, or several")
public abstract class PageRequestLitmus {
    private static final int GROUP = 7;
    private static final IommufdNode NODE = IommufdNode.builder().build();

    /** A device that counts its answers, under the lock of its context. */
    private static final class Asking implements HwDevice {
        private final HwGroup group = new HwGroup();
        private int answers;

        @Override
        public void respond(int pasid, int number, int code) {
            answers++;
        }

        @Override
        public HwGroup group() {
            return group;
        }

        @Override
        public Object iommu() {
            return this;
        }

        @Override
        public boolean isCoherent() {
            return true;
        }

        @Override
        public boolean enforcesCoherency() {
            return false;
        }

        @Override
        public void attach(HwDomain domain, int pasid) {}

        @Override
        public void block(int pasid) {}

        @Override
        public HwPagingDomain paging(int flags, @Nullable UserData data) throws IommufdException {
            return new TableDomain(Amdv1Format.mock(), -2048, 0, -1L, false, NODE);
        }

        @Override
        public NestedDomain nested(HwPagingDomain parent, int flags, UserData data) {
            return new NestedDomain() {};
        }
    }

    private final Asking hardware = new Asking();
    private final IommufdContext context = NODE.openContext();
    private final Device device;
    private final PagingHwpt parent;
    private final NestedHwpt table;
    final FaultQueue queue;

    PageRequestLitmus() {
        try {
            device = context.bind(hardware);
            parent =
                    context.allocateHwpt(
                            device, context.allocateIoas(), Iommufd.HWPT_ALLOC_NEST_PARENT);
            queue = context.allocateFaultQueue();
            UserData data = UserData.of(1, MemorySegment.ofArray(new byte[8]));
            table = parent.allocateNested(device, 0, data, queue);
            device.attach(table.id(), HwDevice.NO_PASID);
        } catch (IommufdException e) {
            throw new IllegalStateException(e);
        }
    }

    final void request() {
        device.requests().report(Iommufd.PGFAULT_FLAGS_LAST_PAGE, 0, GROUP, 1, 0);
    }

    final void takeAndAnswer() {
        FaultQueue.Taken taken = queue.take();
        if (taken != null) {
            answer(taken.cookie());
        }
    }

    final void answer(int cookie) {
        if (queue.answer(cookie, Iommufd.PAGE_RESP_SUCCESS) > 0) {
            throw new IllegalStateException("an answer has no such result");
        }
    }

    final void detach() {
        device.detach(HwDevice.NO_PASID);
    }

    final void replace() {
        try {
            device.replace(parent.id(), HwDevice.NO_PASID);
        } catch (IommufdException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Detached and destroyed, whatever the actors have done of that; the answers so far. */
    final void end(I_Result result) {
        detach();
        try {
            context.destroy(table.id());
            context.destroy(queue.id());
        } catch (IommufdException e) {
            throw new IllegalStateException(e);
        }
        device.unbind();
        context.release();
        result.r1 = hardware.answers;
    }

    /** A group that was taken. */
    public abstract static class Delivered extends PageRequestLitmus {
        final int cookie;

        Delivered() {
            request();
            FaultQueue.Taken taken = queue.take();
            if (taken == null) {
                throw new IllegalStateException("the group does not wait");
            }
            cookie = taken.cookie();
        }
    }

    @JCStressTest
    @JCStressMeta(PageRequestLitmus.class)
    @State
    public static class AnswerAndDetach extends Delivered {
        @Actor
        public void program() {
            answer(cookie);
        }

        @Actor
        public void driver() {
            detach();
        }

        @Arbiter
        public void over(I_Result result) {
            end(result);
        }
    }

    @JCStressTest
    @JCStressMeta(PageRequestLitmus.class)
    @State
    public static class TwoAnswers extends Delivered {
        @Actor
        public void program() {
            answer(cookie);
        }

        @Actor
        public void other() {
            answer(cookie);
        }

        @Arbiter
        public void over(I_Result result) {
            end(result);
        }
    }

    @JCStressTest
    @JCStressMeta(PageRequestLitmus.class)
    @State
    public static class RequestAndReplace extends PageRequestLitmus {
        @Actor
        public void device() {
            request();
            takeAndAnswer();
        }

        @Actor
        public void driver() {
            replace();
        }

        @Arbiter
        public void over(I_Result result) {
            end(result);
        }
    }

    @JCStressTest
    @JCStressMeta(PageRequestLitmus.class)
    @State
    public static class TakeAndDetach extends PageRequestLitmus {
        public TakeAndDetach() {
            request();
        }

        @Actor
        public void program() {
            takeAndAnswer();
        }

        @Actor
        public void driver() {
            detach();
        }

        @Arbiter
        public void over(I_Result result) {
            end(result);
        }
    }
}
