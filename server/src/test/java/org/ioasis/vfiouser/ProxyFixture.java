// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.ioasis.iommu.DomainListener;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.PagingDomain;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.iommu.mapping.IntervalStore;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.MemoryListener;
import org.ioasis.peer.LogLines;
import org.ioasis.peer.ServerWait;
import org.ioasis.spec.Pci;
import org.ioasis.spec.VfioUser;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.jspecify.annotations.Nullable;

/**
 * Somebody else's device, an IOMMU in front of it, and a VMM with a megabyte of memory: all of it
 * over sockets in a new folder, on a clock that a test can put forward.
 */
final class ProxyFixture implements AutoCloseable {
    static final long RAM = 1 << 20;
    static final int ANSWER_MILLIS = 4000;
    static final int COMMAND_ON = Pci.COMMAND_MEMORY | Pci.COMMAND_MASTER;

    final Guards guards = new Guards(System::nanoTime, lease -> {});
    final GuestMemory memory = new GuestMemory(guards, ServerFixture.REGIONS);
    final FaultQueue faults = new FaultQueue(64, 256, System::nanoTime);
    final Iommu iommu = new Iommu(IommuOptions.DEFAULT, guards, faults, IntervalStore::new);
    final Endpoint endpoint = iommu.plug(7, EndpointProperties.UNLIMITED);
    final PagingDomain domain = iommu.pagingDomain(1);
    final ScriptedDevice device;
    final EventLoop loop;
    final ProxyFunction function;
    final VfioUserServer server;
    final LogLines log = new LogLines();
    final Fd file;
    final Mapping ram;
    private final AtomicLong ahead = new AtomicLong();
    private final ExecutorService io = Executors.newSingleThreadExecutor();
    private final Path folder;

    ProxyFixture() throws IOException {
        this(true);
    }

    ProxyFixture(boolean hasTwin) throws IOException {
        this(hasTwin, ScriptedDevice.VECTORS);
    }

    ProxyFixture(boolean hasTwin, int vectors) throws IOException {
        this(hasTwin, vectors, ANSWER_MILLIS);
    }

    ProxyFixture(boolean hasTwin, int vectors, int answerMillis) throws IOException {
        this(
                new ProxySettings(Isolation.ENFORCED, answerMillis, 0),
                device -> {
                    device.hasTwin = hasTwin;
                    device.vectors = vectors;
                });
    }

    ProxyFixture(Consumer<ScriptedDevice> setUp) throws IOException {
        this(new ProxySettings(Isolation.ENFORCED, ANSWER_MILLIS, 0), setUp);
    }

    ProxyFixture(ProxySettings settings) throws IOException {
        this(settings, device -> {});
    }

    /** With a device of somebody else's behind it, served at {@code server}. */
    ProxyFixture(ProxySettings settings, Path server) throws IOException {
        this(settings, device -> {}, server);
    }

    ProxyFixture(ProxySettings settings, Consumer<ScriptedDevice> setUp) throws IOException {
        this(settings, setUp, null);
    }

    /**
     * @param setUp what the device is to be before it is asked
     * @param other a server that is there instead of the device
     */
    private ProxyFixture(
            ProxySettings settings, Consumer<ScriptedDevice> setUp, @Nullable Path other)
            throws IOException {
        folder = Files.createTempDirectory("ioasis-proxy");
        file = Memfd.create("ioasis-vmm", RAM);
        ram = Mapping.map(file, 0, RAM, true);
        device = new ScriptedDevice(folder.resolve("device.sock"));
        setUp.accept(device);
        loop =
                new EventLoop(
                        "test-loop",
                        Polled.of(guards::hasPending, guards::poll),
                        () -> System.nanoTime() + ahead.get(),
                        IdlePolicy.EVENT_DRIVEN);
        function =
                new ProxyFunction(
                        loop,
                        other == null ? folder.resolve("device.sock") : other,
                        iommu.dma(endpoint, memory, guards.open()),
                        io,
                        settings);
        DomainListener domains = function.domainListener();
        MemoryListener regions = function.memoryListener();
        if (domains != null && regions != null) {
            iommu.listen(endpoint.attachment(), domains);
            memory.listen(regions);
        }
        server =
                new VfioUserServer(
                        loop,
                        folder.resolve("f.sock"),
                        function,
                        memory,
                        ServerFixture.LIMITS,
                        log);
        function.servedBy(server);
        iommu.attach(endpoint.attachment(), domain, ProxyFixture::mustBeOk);
        loop.start();
    }

    private static void mustBeOk(Status status) {
        if (status != Status.OK) {
            throw new IllegalStateException(status.toString());
        }
    }

    /** A VMM that has told of its memory and let the device reach it. */
    MockVfioUserClient ready() throws IOException {
        MockVfioUserClient client = MockVfioUserClient.ready(server.path());
        client.map(0, RAM, 0, 3, file);
        client.write(VfioUser.VFIO_PCI_CONFIG_REGION_INDEX, Pci.COMMAND, 2, COMMAND_ON);
        return client;
    }

    void onLoop(Runnable task) {
        if (!loop.executeAndWait(task, 10_000_000_000L)) {
            throw new IllegalStateException(loop.dump());
        }
    }

    void map(long first, long last, long gpa, int flags) {
        AtomicReference<Status> answer = new AtomicReference<>(Status.DEVERR);
        onLoop(() -> domain.map(first, last, gpa, flags, answer::set));
        await(() -> answer.get() == Status.OK);
    }

    Status unmap(long first, long last) {
        AtomicReference<Status> answer = new AtomicReference<>(Status.DEVERR);
        onLoop(() -> domain.unmap(first, last, answer::set));
        await(() -> answer.get() != Status.DEVERR);
        return answer.get();
    }

    void put(long gpa, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.ISO_8859_1);
        MemorySegment.copy(bytes, 0, ram.segment(), ValueLayout.JAVA_BYTE, gpa, bytes.length);
    }

    String get(long gpa, int length) {
        return new String(
                ram.segment().asSlice(gpa, length).toArray(ValueLayout.JAVA_BYTE),
                StandardCharsets.ISO_8859_1);
    }

    /** So much time has passed for who looks at the loop's clock. */
    void pass(long nanos) {
        ahead.addAndGet(nanos);
        loop.execute(() -> {});
    }

    void await(java.util.function.BooleanSupplier condition) {
        ServerWait.until(server, loop, condition);
    }

    void awaitNoSession() {
        await(() -> !server.hasSession());
    }

    @Override
    public void close() throws IOException {
        server.close();
        loop.close();
        function.close();
        io.shutdown();
        device.close();
        ram.close();
        file.close();
        Files.delete(folder);
    }
}
