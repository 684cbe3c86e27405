// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.spec.VfioType1.*;
import static org.ioasis.vfio.ContainerFixture.IOVA;
import static org.ioasis.vfio.ContainerFixture.PAGE;
import static org.ioasis.vfio.ContainerFixture.RW;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Each call on a container is made to fail at each of its points in turn, then succeeds: after each
 * failure all is what it was.
 */
class Type1FailNthTest {
    private final ContainerFixture host = new ContainerFixture();
    private final Map<String, Integer> points = new LinkedHashMap<>();

    private interface Call {
        long run() throws IommufdException;
    }

    private String state() {
        Type1 type1 = host.container.driver() instanceof Type1 there ? there : null;
        return "contexts %d held %d charged %d groups %d mappings %d dirty %d tracking %b"
                .formatted(
                        host.node.openContexts(),
                        host.node.heldPages(),
                        host.charged(),
                        host.container.groups(),
                        type1 == null ? -1 : type1.mappings(),
                        type1 == null ? -1 : type1.dirtyBytes(),
                        type1 != null && type1.isTracking());
    }

    private void sweep(String name, Call call) {
        for (int n = 1; ; n++) {
            assertThat(n).isLessThan(1000);
            String before = state();
            host.program.failures().arm(n);
            long result;
            try {
                result = call.run();
            } catch (IommufdException e) {
                result = -e.errno().number();
            }
            boolean hasFailed = host.program.failures().remaining() == 0;
            host.program.failures().arm(0);
            if (!hasFailed) {
                assertThat(result).as(name + ": " + host.program.rule).isNotNegative();
                points.put(name, n - 1);
                return;
            }
            assertThat(result).as("%s, failure %d", name, n).isNegative();
            assertThat(state()).as("%s, failure %d", name, n).isEqualTo(before);
        }
    }

    /** A typed call, with the program's points of failure. */
    private void typed(String name, IommufdContext.Body body) {
        sweep(name, () -> host.type1().calling(host.program, body));
    }

    @Test
    @Tag("S21")
    @Tag("S22")
    void eachCallFailsAtEachPointAndLeavesAllAsItWas() throws IommufdException {
        host.node.temporaryMemory(16);
        VfioGroup mediated = host.add(VfioGroup.mediated(9));
        sweep("SET_IOMMU", () -> host.set(TYPE1V2_IOMMU));
        sweep("MAP without an IOMMU", () -> host.map(host.memory, IOVA, 4 * PAGE, RW));
        MediatedDevice[] device = new MediatedDevice[1];
        typed(
                "open",
                () -> {
                    device[0] =
                            host.open(
                                    mediated,
                                    (iova, length) -> {
                                        for (long at = iova; at < iova + length; at += PAGE) {
                                            device[0].unpin(at, 1);
                                        }
                                    });
                    return 0;
                });
        typed(
                "pin",
                () -> {
                    device[0].pin(IOVA + PAGE, true, true, new long[2]);
                    return 0;
                });
        FakeDevice hardware = new FakeDevice(host.node, new Object(), true);
        VfioGroup behind = VfioGroup.of(1, List.of(hardware));
        typed(
                "attach",
                () -> {
                    host.add(behind);
                    return 0;
                });
        sweep("MAP", () -> host.map(host.memory + 8 * PAGE, 2 * IOVA, 4 * PAGE, RW));
        sweep("START", () -> host.dirtyPages(DIRTY_FLAG_START));
        sweep("MAP with a bitmap", () -> host.map(host.memory, 3 * IOVA, 2 * PAGE, RW));
        sweep("GET_BITMAP", () -> host.getBitmap(IOVA, 4 * PAGE, host.program.mmap(PAGE), 8));
        sweep("GET_INFO", () -> host.program.struct(INFO_SIZE).call(host.container, 0x70));
        sweep("STOP", () -> host.dirtyPages(DIRTY_FLAG_STOP));
        sweep("UNMAP", () -> host.unmap(IOVA, 4 * PAGE, 0));
        device[0].close();
        host.remove(mediated);
        sweep("UNMAP with VADDR", () -> host.unmap(2 * IOVA, 4 * PAGE, UNMAP_FLAG_VADDR));
        sweep("MAP with VADDR", () -> host.map(host.memory, 2 * IOVA, 4 * PAGE, MAP_FLAG_VADDR));
        sweep("UNMAP ALL", () -> host.unmap(0, 0, UNMAP_FLAG_ALL));
        assertThat(points).allSatisfy((name, count) -> assertThat(count).as(name).isPositive());
        assertThat(points.get("attach")).as("replay passes many").isGreaterThan(8);
        host.end();
    }
}
