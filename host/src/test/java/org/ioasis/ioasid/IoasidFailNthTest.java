// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.ioasid.IoasidAllocator.INVALID;
import static org.ioasis.ioasid.IoasidAllocator.LAST;

import java.util.LinkedHashMap;
import java.util.Map;
import org.ioasis.host.Refusals;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Each call is made to fail at each of its points in turn: what failed has changed nothing. */
class IoasidFailNthTest {
    private final FailureInjector failures = new FailureInjector();
    private final IoasidAllocator ids = new IoasidAllocator(failures, _ -> {});
    private final IoasidSets sets = new IoasidSets(ids, 100);
    private final IoasidSet<Owned> plain = new IoasidSet<>("plain", Owned.class);
    private final ScriptedBackend backend = new ScriptedBackend().lowest(5000);
    private final ScriptedBackend second = new ScriptedBackend();
    private final IoasidOps<String> ops = backend.ops("a");
    private final IoasidOps<String> sharing = backend.ops("b");
    private final IoasidOps<String> queued = second.ops("c");
    private final Map<String, Integer> points = new LinkedHashMap<>();
    private int told;
    private final QuotaSet<Owned> vm;

    IoasidFailNthTest() throws IommufdException {
        vm = sets.create("vm", "vm", Owned.class, 50);
        sets.listen((_, _, _, _) -> told++, NotifierPriority.LAST);
    }

    /** A call; what it returns is negative, or it throws, when it is refused. */
    @FunctionalInterface
    private interface Call {
        int run() throws IommufdException;
    }

    private String state() {
        StringBuilder text = new StringBuilder();
        text.append(ids.liveIds()).append(" live, ").append(ids.lost()).append(" lost, ");
        text.append(vm.used()).append(" of ").append(vm.quota()).append(" used, ");
        text.append(sets.left()).append(" left, ").append(told).append(" told\n");
        text.append(backend.out).append(second.out).append('\n');
        text.append(ids.isActive(ops)).append(ids.isActive(sharing)).append(ids.isActive(queued));
        text.append(sets.byToken("other") == null);
        try (IoasidReader reader = ids.openReader()) {
            for (int id : new int[] {1, 2, 3, 2000, 5000, 5001}) {
                text.append('\n').append(id).append(' ');
                text.append(reader.find(id, _ -> true)).append(reader.find(vm, id, _ -> true));
                text.append(vm.findBySpid(id));
            }
        }
        return text.toString();
    }

    private int sweep(String name, Call call) {
        for (int n = 1; ; n++) {
            assertThat(n).isLessThan(100);
            String before = state();
            failures.arm(n);
            int result;
            try {
                result = call.run();
            } catch (IommufdException e) {
                result = -e.errno().number();
            }
            boolean hasFailed = failures.remaining() == 0;
            failures.arm(0);
            if (!hasFailed) {
                assertThat(result).as(name).isNotNegative();
                points.put(name, n - 1);
                return result;
            }
            assertThat(result).as("%s, failure %d", name, n).isNegative();
            assertThat(state()).as("%s, failure %d", name, n).isEqualTo(before);
        }
    }

    private static Call done(Refusals.Call call) {
        return () -> {
            call.run();
            return 0;
        };
    }

    @Test
    @Tag("S13")
    void idsOfOurs() {
        int id = sweep("alloc", () -> ids.allocate(plain, 1, LAST, new Owned("mm")));
        assertThat(id).as("no id was used up by failures").isEqualTo(1);
        int far = sweep("alloc far away", () -> ids.allocate(plain, 2000, LAST, null));
        assertThat(far).isEqualTo(2000);
        int near = sweep("alloc near", () -> ids.allocate(2, LAST, "nobody's"));
        sweep("set_data", done(() -> ids.setData(plain, far, new Owned("late"))));
        sweep("get", () -> ids.get(id) ? 0 : INVALID);
        sweep("put", () -> ids.put(id) ? INVALID : 0);
        sweep("free", () -> ids.free(id) ? 0 : INVALID);
        sweep("put the last", () -> ids.put(near) ? 0 : INVALID);
        assertThat(points)
                .hasSize(8)
                .containsEntry("alloc", 2)
                .containsEntry("alloc far away", 2)
                .containsEntry("alloc near", 1)
                .containsEntry("put", 0)
                .containsEntry("put the last", 0);
    }

    @Test
    @Tag("S14")
    @Tag("S15")
    void customAllocators() {
        sweep("register", done(() -> ids.register(ops)));
        sweep("register a sharer", done(() -> ids.register(sharing)));
        sweep("register behind", done(() -> ids.register(queued)));
        int id = sweep("alloc", () -> ids.allocate(plain, 1, LAST, new Owned("mm")));
        assertThat(id).isEqualTo(5000);
        sweep("put", () -> ids.put(id) ? 0 : INVALID);
        sweep("unregister", done(() -> assertThat(ids.unregister(ops).wasLast()).isFalse()));
        sweep("unregister last", done(() -> assertThat(ids.unregister(sharing).lost()).isZero()));
        assertThat(points)
                .hasSize(7)
                .containsEntry("register", 1)
                .containsEntry("alloc", 3)
                .containsEntry("unregister", 0)
                .containsEntry("unregister last", 0);
    }

    @Test
    @Tag("S17")
    void setsWithQuotas() {
        sweep("set", done(() -> assertThat(other().quota()).isEqualTo(3)));
        sweep("listen", done(() -> sets.listen((_, _, _, _) -> {}, NotifierPriority.CPU)));
        sweep("listen to", done(() -> sets.listen("vm", (_, _, _, _) -> {}, NotifierPriority.CPU)));
        int id = sweep("alloc", () -> vm.allocate(1, LAST, null));
        assertThat(told).isEqualTo(1);
        sweep("spid", done(() -> vm.attachSpid(id, 2000)));
        sweep("bind", done(() -> vm.bind(id)));
        sweep("unbind", done(() -> vm.unbind(id)));
        sweep("detach spid", done(() -> vm.detachSpid(2000)));
        sweep("quota", done(() -> vm.quota(60)));
        sweep("free", done(() -> vm.free(id)));
        assertThat(points)
                .hasSize(10)
                .containsEntry("set", 1)
                .containsEntry("alloc", 2)
                .containsEntry("spid", 1)
                .containsEntry("free", 0);
        assertThat(told).isEqualTo(4);
    }

    private QuotaSet<Owned> other() throws IommufdException {
        return sets.create("other", "other", Owned.class, 3);
    }
}
