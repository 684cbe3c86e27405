// SPDX-License-Identifier: Apache-2.0
package org.ioasis.kind.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.kind.rng.RngOptions;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.DevicePlace;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.spec.Pci;
import org.ioasis.sys.UnixListener;
import org.ioasis.vfiouser.Isolation;
import org.ioasis.vfiouser.ProxySettings;
import org.ioasis.vfiouser.VfioUserClient;
import org.ioasis.virtio.rng.VirtioRng;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Device servers that let themselves be connected to and say nothing. */
@Timeout(60)
class SilentServerTest {
    /** More than the machine has threads for blocking work. */
    private static final int SERVERS = 4;

    private static final int LONG_MILLIS = 60_000;
    private static final int PATIENCE_MILLIS = 200;
    private static final int PAGE = 4096;

    @TempDir Path folder;

    private Machine machine(String name) throws IOException {
        return new Machine(
                name,
                IommuOptions.DEFAULT,
                IdlePolicy.EVENT_DRIVEN,
                folder.resolve(name + "-iommu.sock"));
    }

    private Path upstream(int i) {
        return folder.resolve("upstream%d.sock".formatted(i));
    }

    private DevicePlace place(String name, int i) {
        return DevicePlace.of(name + i, folder.resolve("%s%d.sock".formatted(name, i)), 0x10 + i);
    }

    @Test
    void doNotKeepThoseFromTheirBlockingWorkWhoHaveNothingToDoWithThem() throws Exception {
        AtomicReference<@Nullable Executor> io = new AtomicReference<>();
        List<UnixListener> silent = new ArrayList<>();
        try (Machine machine = machine("proxies")) {
            IommuUnit unit = machine.iommus().getFirst();
            try (Machine servers = machine("servers")) {
                for (int i = 0; i < SERVERS; i++) {
                    DevicePlace place = DevicePlace.of("rng" + i, upstream(i), 0x10 + i);
                    var _ = servers.add(servers.iommus().getFirst(), new RngOptions(place, false));
                }
                servers.start();
                for (int i = 0; i < SERVERS; i++) {
                    var _ =
                            machine.add(
                                    unit,
                                    new ProxyOptions(
                                            place("proxy", i),
                                            upstream(i),
                                            new ProxySettings(Isolation.MAPPED, LONG_MILLIS, 0)));
                }
            }
            var _ =
                    machine.add(
                            unit,
                            place("other", SERVERS),
                            port -> {
                                io.set(port.io());
                                return port.function(
                                        new VirtioRng(_ -> {}, port.tasks()), Pci.CLASS_OTHER);
                            });
            machine.start();
            for (int i = 0; i < SERVERS; i++) {
                // Those that were there have gone; who listens now never answers.
                silent.add(UnixListener.bind(upstream(i)));
                Path proxy = place("proxy", i).socket();
                assertThatThrownBy(() -> new VfioUserClient(proxy, PAGE, PATIENCE_MILLIS).close())
                        .hasMessageContaining("no answer within");
            }
            CountDownLatch done = new CountDownLatch(1);
            Objects.requireNonNull(io.get()).execute(done::countDown);
            assertThat(done.await(10, TimeUnit.SECONDS)).as("blocking work of others").isTrue();
        } finally {
            silent.forEach(UnixListener::close);
        }
    }
}
