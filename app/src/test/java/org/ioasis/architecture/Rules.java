// SPDX-License-Identifier: Apache-2.0
package org.ioasis.architecture;

import static com.tngtech.archunit.base.DescribedPredicate.not;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.assignableTo;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.core.domain.properties.HasName.Predicates.name;
import static com.tngtech.archunit.core.domain.properties.HasOwner.Predicates.With.owner;
import static com.tngtech.archunit.lang.conditions.ArchConditions.dependOnClassesThat;
import static com.tngtech.archunit.lang.conditions.ArchConditions.never;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaAccess;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.lang.ArchCondition;
import com.tngtech.archunit.lang.ArchRule;
import com.tngtech.archunit.lang.ConditionEvents;
import com.tngtech.archunit.lang.SimpleConditionEvent;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.ioasis.memory.Dma;
import org.jspecify.annotations.NullMarked;

/**
 * The rules of the house as ArchUnit checks them, for the packages below one base package: {@code
 * org.ioasis}, or the planted violations that show that each rule can fail. Any thread.
 *
 * <p>Module borders are also enforced by Maven and by the JVM; what stands here are the finer
 * borders between packages, and the reasons why a border is where it is.
 */
final class Rules {
    /**
     * Which packages a package may use, besides itself and the ones below it. A package that is not
     * here is held to the nearest one above it that is; {@link #everyPackageIsKnown} refuses those
     * with none.
     */
    private static final Map<String, List<String>> MAY_USE = new TreeMap<>();

    static {
        // core: numbers, then memory; the engine knows memory and nothing of who drives it.
        MAY_USE.put("spec", List.of());
        MAY_USE.put("memory", List.of("spec"));
        MAY_USE.put("iommu", List.of("iommu.pagetable", "memory", "spec"));
        // Below the engine: a walker reads a guest's tables too, and needs no domain for that.
        MAY_USE.put("iommu.pagetable", List.of("memory", "spec"));
        MAY_USE.put("virtqueue", List.of("memory", "spec"));
        MAY_USE.put("virtio", List.of("virtqueue", "memory", "spec"));
        // The other side: what a driver knows is a transport, and that in one process it is a
        // device.
        MAY_USE.put("virtio.driver", List.of("virtio", "spec"));
        MAY_USE.put("virtio.iommu.driver", List.of("virtio.driver", "virtqueue", "memory", "spec"));
        MAY_USE.put("iova", List.of());
        MAY_USE.put("dma", List.of("iova", "virtio.iommu.driver", "virtio.driver", "spec"));
        MAY_USE.put("virtio.blk", List.of("virtio", "virtqueue", "memory", "spec"));
        MAY_USE.put("virtio.net", List.of("virtio", "virtqueue", "memory", "spec"));
        MAY_USE.put("virtio.rng", List.of("virtio", "virtqueue", "memory", "spec"));
        // The misbehaving device has nothing but the way to memory that any device has.
        MAY_USE.put("virtio.rogue", List.of("memory"));
        MAY_USE.put(
                "virtio.iommu",
                List.of("virtio", "iommu", "iommu.pagetable", "virtqueue", "memory", "spec"));
        MAY_USE.put("sys", List.of());
        // host: what user space programs as on a kernel; a driver behind it is found by nobody.
        MAY_USE.put("host", List.of());
        MAY_USE.put("iommufd", List.of("host", "iommu", "iommu.pagetable", "memory", "spec"));
        MAY_USE.put(
                "iommufd.mock", List.of("iommufd", "iommu", "iommu.pagetable", "memory", "spec"));
        // Called by drivers directly: knows no devices, only how calls are refused and made to
        // fail.
        MAY_USE.put("ioasid", List.of("iommufd", "memory", "spec"));
        // A machine without VFIO has a KVM all the same: neither vfio nor spapr is known here.
        MAY_USE.put("kvm", List.of("iommufd", "spec"));
        // POWER's containers hold pages and keep tables where /dev/iommu does; nothing uses them.
        MAY_USE.put("spapr", List.of("iommufd", "iommu.pagetable", "spec"));
        // What drivers of IOMMUs put into memory, each in its own terms; nothing uses them but who
        // serves such a driver.
        for (String driver : List.of("smmuv3", "vtd", "amd")) {
            MAY_USE.put(
                    driver,
                    List.of("host", "iommufd", "iommu", "iommu.pagetable", "memory", "spec"));
        }
        // Containers are address spaces of iommufd with other rules.
        MAY_USE.put("vfio", List.of("host", "iommufd", "spec"));
        // The only package that knows a guest's IOMMU and an address space of the host.
        MAY_USE.put("assigned", List.of("vfio", "host", "iommufd", "iommu", "memory", "spec"));
        // server: a protocol knows the functions that it carries, and no other protocol.
        MAY_USE.put("loop", List.of("sys"));
        MAY_USE.put("peer", List.of("loop", "sys", "memory", "spec"));
        MAY_USE.put(
                "pci",
                List.of(
                        "peer",
                        "loop",
                        "sys",
                        "virtio.driver",
                        "virtio",
                        "virtqueue",
                        "memory",
                        "spec"));
        // A device server that is trusted keeps a copy of what an endpoint reaches.
        MAY_USE.put("vfiouser", List.of("peer", "pci", "loop", "sys", "iommu", "memory", "spec"));
        MAY_USE.put(
                "vhostuser",
                List.of("peer", "loop", "sys", "virtio", "virtqueue", "memory", "spec"));
        // What answers system calls knows no guest and none of its protocols.
        MAY_USE.put("program", List.of("loop", "sys", "iommufd", "spec"));
        // A function in a program's hands: the calls come from there, and the function is
        // anybody's.
        MAY_USE.put(
                "vfiodevice",
                List.of(
                        "program", "peer", "pci", "loop", "sys", "vfio", "kvm", "iommufd", "memory",
                        "spec"));
        MAY_USE.put("topology", List.of("iommu", "spec"));
        // app: the only place where things are put together; QEMU and the guest on one side, our
        // devices on the other, and only a run knows both.
        List<String> all = new ArrayList<>(MAY_USE.keySet());
        MAY_USE.put("guestkit", List.of());
        MAY_USE.put("vm", List.of("guestkit", "topology"));
        MAY_USE.put("machine", all);
        // What stands for all of a machine in an author's test.
        MAY_USE.put("testkit", plus(all, "machine"));
        // Machines know that there are kinds, and none of them; so does whoever goes by the list.
        MAY_USE.put("kind", plus(all, "machine"));
        MAY_USE.put("output", List.of("sys"));
        MAY_USE.put("plot", List.of());
        // What another design would have done: tables without a guest, a session or a machine.
        MAY_USE.put(
                "sweep",
                List.of("record", "iommu", "iommu.pagetable", "iova", "output", "plot", "spec"));
        // Serves whoever knows what to serve.
        MAY_USE.put("web", List.of());
        MAY_USE.put("live", plus(all, "machine", "output"));
        // Knows no file format; what does stands behind a service, and knows nothing else of ours.
        MAY_USE.put("record", plus(all, "machine", "output"));
        MAY_USE.put("parquet", List.of("record"));
        // Use what the control socket uses; nothing that runs machines needs them.
        MAY_USE.put("page", plus(all, "machine", "live", "web"));
        MAY_USE.put("metrics", plus(all, "machine", "live", "web"));
        MAY_USE.put("config", plus(all, "machine", "kind", "live"));
        MAY_USE.put(
                "serve",
                plus(
                        all, "vm", "machine", "config", "live", "metrics", "output", "page",
                        "record"));
        MAY_USE.put("plot", List.of());
        // A machine without a VMM: knows no guest, no session and no loop.
        MAY_USE.put("demo", plus(all, "machine"));
        MAY_USE.put(
                "run", plus(all, "guestkit", "vm", "machine", "kind", "live", "page", "record"));
        // Runs programs that were made elsewhere, some with devices that are nothing but memory.
        MAY_USE.put(
                "selftests",
                List.of(
                        "guestkit",
                        "machine",
                        "program",
                        "iommufd",
                        "iommufd.mock",
                        "vfiodevice",
                        "pci",
                        "loop",
                        "memory",
                        "virtqueue",
                        "sys"));
        MAY_USE.put(
                "cli",
                plus(
                        all,
                        "guestkit",
                        "vm",
                        "machine",
                        "kind",
                        "selftests",
                        "demo",
                        "run",
                        "config",
                        "live",
                        "record",
                        "page",
                        "serve",
                        "output"));
        // More commands, which cli finds as services.
        MAY_USE.put(
                "compare",
                plus(all, "guestkit", "vm", "machine", "kind", "run", "cli", "output", "live"));
        // Measures what app puts together; nothing uses it.
        MAY_USE.put("bench", plus(all, "machine", "output", "plot"));
        // Tries the handshakes between threads; nothing uses it.
        MAY_USE.put(
                "stress",
                List.of(
                        "sys",
                        "iommu",
                        "iommu.pagetable",
                        "ioasid",
                        "iommufd",
                        "virtqueue",
                        "virtio",
                        "memory",
                        "spec"));
    }

    private final String base;

    Rules(String base) {
        this.base = base;
    }

    private static List<String> plus(List<String> list, String... more) {
        List<String> sum = new ArrayList<>(list);
        sum.addAll(List.of(more));
        return sum;
    }

    /** One rule for each package of the table. */
    List<ArchRule> directions() {
        return MAY_USE.keySet().stream().map(this::direction).toList();
    }

    /** The package uses of Ioasis only what the table allows. */
    ArchRule direction(String name) {
        List<String> mayUse = MAY_USE.getOrDefault(name, List.of());
        DescribedPredicate<JavaClass> ours = resideInAnyPackage(base + "..");
        DescribedPredicate<JavaClass> allowed =
                DescribedPredicate.describe(
                        "in " + name + " or one of " + mayUse,
                        used -> {
                            String governing = governing(used.getPackageName());
                            return governing.equals(name) || mayUse.contains(governing);
                        });
        return classes()
                .that(
                        DescribedPredicate.describe(
                                "are in " + name,
                                (JavaClass user) -> governing(user.getPackageName()).equals(name)))
                .should(never(dependOnClassesThat(ours.and(not(allowed)))))
                .allowEmptyShould(true)
                .as("package " + name + " uses only " + mayUse);
    }

    /** A new package gets its place in the table before it is used. */
    ArchRule everyPackageIsKnown() {
        return classes()
                .that()
                .resideInAPackage(base + "..")
                .should(
                        check(
                                "be in a package with a place in the table",
                                type -> !governing(type.getPackageName()).isEmpty()))
                .as("every package has a place in the table of directions");
    }

    /** The entry of the table that a package is held to, or nothing. */
    private String governing(String packageName) {
        if (!packageName.startsWith(base + ".")) {
            return "";
        }
        String name = packageName.substring(base.length() + 1);
        while (!MAY_USE.containsKey(name)) {
            int dot = name.lastIndexOf('.');
            if (dot < 0) {
                return "";
            }
            name = name.substring(0, dot);
        }
        return name;
    }

    /** Two packages that use each other are one package in two places. */
    ArchRule noCycles() {
        return slices().matching(base + ".(**)").should().beFreeOfCycles();
    }

    /** Only sys calls native code, and only it makes segments that nothing bounds. */
    ArchRule nativeAccessOnlyInSys() {
        return noClasses()
                .that()
                .resideOutsideOfPackage(base + ".sys..")
                .should()
                .dependOnClassesThat()
                .belongToAnyOf(Linker.class, SymbolLookup.class)
                .orShould()
                .accessTargetWhere(
                        JavaAccess.Predicates.target(owner(name(MemorySegment.class.getName())))
                                .and(
                                        JavaAccess.Predicates.target(
                                                name("reinterpret").or(name("ofAddress")))))
                .as("Linker, SymbolLookup and segments without a bound only in sys")
                .allowEmptyShould(true);
    }

    /**
     * A write that a device makes behind its Dma would be seen by nobody who tracks what is
     * written. Segments of guest memory are for the package that holds them; benchmarks only ask
     * where they are.
     */
    ArchRule guestMemoryOnlyThroughDma() {
        return noClasses()
                .that()
                .resideOutsideOfPackages(base + ".memory..", base + ".bench..")
                .should()
                .accessTargetWhere(
                        JavaAccess.Predicates.target(owner(assignableTo(Dma.class)))
                                .and(JavaAccess.Predicates.target(name("segment"))))
                .as("devices write guest memory only through their Dma")
                .allowEmptyShould(true);
    }

    /** The engine has no I/O of its own, so that a run can be replayed from its inputs. */
    ArchRule engineWithoutInputAndOutput() {
        return noClasses()
                .that()
                .resideInAPackage(base + ".iommu..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        "java.io..", "java.net..", "java.nio.channels..", "java.nio.file..")
                .as("the engine does no input and output")
                .allowEmptyShould(true);
    }

    /** A constructor with many arguments of a kind is read wrongly sooner or later. */
    ArchRule buildersAlone() {
        return noClasses()
                .that()
                .resideInAPackage(base + "..")
                .should()
                .callConstructorWhere(
                        DescribedPredicate.describe(
                                "of a class that has a builder, by another than the two",
                                call ->
                                        hasOtherBuilder(
                                                call.getTargetOwner(), call.getOriginOwner())))
                .as("what has a builder is made by it alone")
                .allowEmptyShould(true);
    }

    private boolean hasOtherBuilder(JavaClass made, JavaClass maker) {
        String builder = made.getName() + "$Builder";
        return made.getName().startsWith(base + ".")
                && made.getPackage().getClasses().stream()
                        .anyMatch(type -> type.getName().equals(builder))
                && !maker.equals(made)
                && !maker.getName().equals(builder);
    }

    /** Without the annotation NullAway would not look at the package at all. */
    ArchRule everyPackageIsNullMarked() {
        return classes()
                .that()
                .resideInAPackage(base + "..")
                .should(
                        check(
                                "be in a package whose package-info has @NullMarked",
                                type ->
                                        type.getPackage()
                                                .tryGetAnnotationOfType(NullMarked.class)
                                                .isPresent()))
                .as("every package has a package-info with @NullMarked");
    }

    private static ArchCondition<JavaClass> check(
            String description, java.util.function.Predicate<JavaClass> holds) {
        return new ArchCondition<>(description) {
            @Override
            public void check(JavaClass type, ConditionEvents events) {
                if (!holds.test(type)) {
                    events.add(
                            SimpleConditionEvent.violated(
                                    type, type.getFullName() + " should " + description));
                }
            }
        };
    }
}
