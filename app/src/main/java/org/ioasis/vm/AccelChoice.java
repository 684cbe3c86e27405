// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.GuestKit;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.Initramfs;

/**
 * Finds out whether KVM can run our guest. That /dev/kvm opens says little: in some virtual
 * machines it does, and then the guest dies in its first instructions or crawls. So the real kernel
 * is booted once, with a task of one line and a limit of time, and the outcome is kept for this
 * boot of the host, kernel and QEMU. One thread; blocks.
 */
public final class AccelChoice {
    /** Where KVM works, that boot takes about a second. */
    private static final Duration BOOT_LIMIT = Duration.ofSeconds(10);

    private static final int BOOT_MEMORY_MIB = 256;
    private static final String MEMORY_FILE = "accel";

    /** QEMU stops the guest with this message and stays. */
    private static final String KVM_GAVE_UP = "KVM internal error";

    private final Host host;
    private final Cleanup cleanup;
    private final Consumer<String> progress;
    private final Path device;
    private final Path bootId;

    /**
     * @param progress gets the reason when KVM is not used
     */
    public AccelChoice(Host host, Cleanup cleanup, Consumer<String> progress) {
        this(
                host,
                cleanup,
                progress,
                Path.of("/dev/kvm"),
                Path.of("/proc/sys/kernel/random/boot_id"));
    }

    AccelChoice(Host host, Cleanup cleanup, Consumer<String> progress, Path device, Path bootId) {
        this.host = host;
        this.cleanup = cleanup;
        this.progress = progress;
        this.device = device;
        this.bootId = bootId;
    }

    /** KVM if it runs a guest here, else TCG with a message that says why. */
    public Accel choose(GuestKit kit, Workspace workspace)
            throws IOException, InterruptedException {
        if (!Files.isReadable(device) || !Files.isWritable(device)) {
            progress.accept("running without KVM: " + device + " cannot be opened");
            return Accel.TCG;
        }
        String key =
                Files.readString(bootId).strip()
                        + " "
                        + kit.kernel().release()
                        + " "
                        + kit.qemu().version()
                        + " ";
        Path memory = kit.cache().resolve(MEMORY_FILE);
        String remembered = remembered(memory, key);
        if (remembered.equals(Accel.KVM.name())) {
            return Accel.KVM;
        }
        if (!remembered.isEmpty()) {
            progress.accept("running without KVM: it could not run a guest on this host before");
            return Accel.TCG;
        }
        String failure = tryKvm(kit, workspace);
        Accel accel = failure.isEmpty() ? Accel.KVM : Accel.TCG;
        if (!failure.isEmpty()) {
            progress.accept("running without KVM: it cannot run a guest here (" + failure + ")");
        }
        Path fresh = workspace.file(MEMORY_FILE);
        Files.writeString(fresh, key + accel.name() + "\n");
        Files.move(fresh, memory, StandardCopyOption.REPLACE_EXISTING);
        return accel;
    }

    private static String remembered(Path memory, String key) throws IOException {
        try {
            String line = Files.readString(memory).strip();
            return line.startsWith(key) ? line.substring(key.length()) : "";
        } catch (NoSuchFileException neverTried) {
            return "";
        }
    }

    /** Empty when the guest came up, else why it did not. */
    private String tryKvm(GuestKit kit, Workspace workspace)
            throws IOException, InterruptedException {
        progress.accept("trying whether KVM can run the guest");
        GuestTask hello = new GuestTask.Hello();
        Initramfs initramfs =
                Initramfs.write(workspace.file("hello"), kit, List.of(), hello.commandFile());
        QemuCommand command =
                QemuCommand.builder(kit.qemu(), Accel.KVM, kit.kernel().image(), initramfs.file())
                        .memoryMiB(BOOT_MEMORY_MIB)
                        .commandLine(hello.commandLine(initramfs.modules(), 0, List.of()))
                        .build();
        AtomicReference<QemuProcess> started = new AtomicReference<>();
        AtomicReference<String> gaveUp = new AtomicReference<>("");
        try (QemuProcess qemu =
                QemuProcess.start(
                        command,
                        host,
                        cleanup,
                        event -> {
                            if (event instanceof GuestEvent.Vmm(String line)
                                    && line.contains(KVM_GAVE_UP)) {
                                gaveUp.set(line);
                                QemuProcess running = started.get();
                                if (running != null) {
                                    running.kill();
                                }
                            }
                        })) {
            started.set(qemu);
            if (!gaveUp.get().isEmpty()) {
                qemu.kill();
            }
            QemuProcess.End end = qemu.await(BOOT_LIMIT, () -> {});
            if (qemu.report().isFinished()) {
                return "";
            }
            if (!gaveUp.get().isEmpty()) {
                return gaveUp.get();
            }
            return switch (end) {
                case QemuProcess.End.TimedOut(Duration limit) ->
                        "it did not boot in " + limit.toSeconds() + " s";
                case QemuProcess.End.Killed() -> "QEMU was killed";
                case QemuProcess.End.Exited(int code) -> {
                    List<String> errors = qemu.errors();
                    yield errors.isEmpty() ? "QEMU ended with " + code : errors.getLast();
                }
            };
        } finally {
            Files.deleteIfExists(initramfs.file());
        }
    }
}
